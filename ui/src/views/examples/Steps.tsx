import { Button, Group } from "@mantine/core";
import { IconChevronLeft, IconChevronRight } from "@tabler/icons-react";
import { useEffect, useRef } from "react";
import { useLocation } from "wouter";
import { count } from "../../parts/words";
import { type Neighbours, step, useNeighbours } from "./walk";

type Props = { at: string; split: string; id: string; workflow?: string; to: (example: string) => string };

/** To the example before and to the one behind, in the order of the table; with K and J by keyboard. */
export function Steps({ at, split, id, workflow, to }: Props) {
  const [, go] = useLocation();
  const { data } = useNeighbours(at, split, id, workflow);
  const turn = (next: Neighbours["before"]) => {
    if (next === null) return;
    step(at, split, next.row);
    go(to(next.id));
  };
  const press = useRef<(event: KeyboardEvent) => void>(() => undefined);
  press.current = (event) => {
    const plain = !(event.ctrlKey || event.metaKey || event.altKey || inField(event.target));
    if (data && plain && event.key === "j") turn(data.after);
    if (data && plain && event.key === "k") turn(data.before);
  };
  useEffect(() => {
    const heard = (event: KeyboardEvent) => press.current(event);
    window.addEventListener("keydown", heard);
    return () => window.removeEventListener("keydown", heard);
  }, []);
  if (!data) return null;
  return (
    <Group gap={6} wrap="nowrap">
      <span className="fb-quiet fb-ex-place">
        {count(data.row + 1)} of {count(data.total)}
      </span>
      <Button
        variant="default"
        size="compact-xs"
        leftSection={<IconChevronLeft size={14} />}
        disabled={data.before === null}
        onClick={() => turn(data.before)}
        aria-keyshortcuts="k"
        data-testid="example-before"
      >
        Previous (K)
      </Button>
      <Button
        variant="default"
        size="compact-xs"
        rightSection={<IconChevronRight size={14} />}
        disabled={data.after === null}
        onClick={() => turn(data.after)}
        aria-keyshortcuts="j"
        data-testid="example-after"
      >
        Next (J)
      </Button>
    </Group>
  );
}

function inField(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName);
}
