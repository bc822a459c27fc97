import { Button, Group, SegmentedControl, Select, Text, TextInput } from "@mantine/core";
import { IconSearch } from "@tabler/icons-react";
import { useDeferredValue, useMemo, useState } from "react";
import { Link } from "wouter";
import type { CandidateLine, Run } from "../../api/types";
import { places } from "../../app/places";
import { fates } from "../../parts/Fate";
import { Empty } from "../../parts/Part";
import { count, short } from "../../parts/words";
import { CandidateTable } from "./CandidateTable";
import { CandidateTree } from "./CandidateTree";
import { matching, type WantedFate } from "./listing";

/** All candidates of a run, as a table or as the tree that they grew in; two can be compared. */
export function Candidates({ id, run }: { id: string; run: Run }) {
  const [shape, setShape] = useState("table");
  const [fate, setFate] = useState<WantedFate>("any");
  const [find, setFind] = useState("");
  const [chosen, setChosen] = useState<string[]>([]);
  const words = useDeferredValue(find);
  const matches = useMemo(() => matching(run.candidates, words, fate), [run.candidates, words, fate]);
  const counts = useMemo(() => {
    const made = new Map<CandidateLine["fate"], number>();
    for (const each of run.candidates) made.set(each.fate, (made.get(each.fate) ?? 0) + 1);
    return made;
  }, [run.candidates]);
  const choose = (one: string) =>
    setChosen(chosen.includes(one) ? chosen.filter((each) => each !== one) : [...chosen.slice(-1), one]);
  if (run.candidates.length === 0)
    return (
      <Empty title="No candidates yet">The first appears when the start has been read and something is proposed.</Empty>
    );
  const [left, right] = chosen;
  return (
    <>
      <Group justify="space-between" mb="xs" gap="xs">
        <Group gap="xs">
          <SegmentedControl
            size="xs"
            aria-label="Shown as"
            value={shape}
            onChange={setShape}
            data={["table", "tree"]}
          />
          <Select
            size="xs"
            w={170}
            aria-label="Fate"
            allowDeselect={false}
            value={fate}
            onChange={(value) => setFate((value ?? "any") as WantedFate)}
            data={[
              { value: "any", label: "every fate" },
              ...(Object.keys(fates) as CandidateLine["fate"][])
                .filter((each) => counts.has(each))
                .map((each) => ({ value: each, label: `${fates[each].mark} ${each} ${counts.get(each)}` })),
            ]}
          />
          <TextInput
            size="xs"
            w={280}
            aria-label="Find candidates"
            placeholder="Operator, hypothesis, edit, cluster, id"
            leftSection={<IconSearch size={14} />}
            value={find}
            onChange={(event) => setFind(event.currentTarget.value)}
            data-testid="find-candidates"
          />
          <Text size="xs" c="var(--fb-quiet)" role="status">
            {matches.size === run.candidates.length
              ? count(matches.size)
              : `${count(matches.size)} of ${count(run.candidates.length)}`}
          </Text>
        </Group>
        {left && right ? (
          <Button size="xs" component={Link} href={places.compare(id, left, right)} data-testid="compare-candidates">
            Compare {short(left)} and {short(right)}
          </Button>
        ) : (
          <Button size="xs" variant="default" disabled title="Choose two candidates">
            Compare two
          </Button>
        )}
      </Group>
      {matches.size === 0 ? (
        <Empty title="No candidate matches">
          Take words or the fate away to see the {count(run.candidates.length)} that are here.
        </Empty>
      ) : shape === "table" ? (
        <CandidateTable id={id} run={run} matches={matches} chosen={chosen} onChoose={choose} />
      ) : (
        <CandidateTree id={id} run={run} matches={matches} chosen={chosen} onChoose={choose} />
      )}
    </>
  );
}
