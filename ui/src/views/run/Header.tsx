import { Anchor, Group, Text, Title } from "@mantine/core";
import { Link } from "wouter";
import { useHome } from "../../api/hooks";
import { useSource } from "../../api/source";
import type { Phase, Run, RunLine } from "../../api/types";
import { places } from "../../app/places";
import { State } from "../../parts/Fate";
import { count, money, seconds, when } from "../../parts/words";
import { PhaseLine } from "./PhaseLine";
import "./run.css";

interface HeaderProps {
  id: string;
  run: Run;
  line: RunLine;
  phase: Phase | null;
  lost: boolean;
}

/** How a run stands: its result in a line, what it has spent, what it does now, and what broke it. */
export function Header({ id, run, line, phase, lost }: HeaderProps) {
  const source = useSource();
  const home = useHome().data;
  const [lead, tail] = run.headline;
  const live = line.state === "running";
  const facts = [line.recipe, line.metric, line.models.join(", "), `began ${when(line.began)}`].filter(Boolean);
  return (
    <>
      {home?.kind === "runs" && (
        <Anchor component={Link} href={places.runs()} size="sm">
          All runs
        </Anchor>
      )}
      <div className="fb-run-head">
        <div className="fb-run-title">
          <Group gap="sm" align="center">
            <Title order={1} size="h3" className="fb-text">
              {line.name}
            </Title>
            <span data-testid="run-state">
              <State state={line.state} />
            </span>
          </Group>
        </div>
        <Links id={id} run={run} attempt={source.live && home?.can_try === true} />
      </div>
      <Text mt={4} data-testid="headline">
        <Text span fz={22} fw={700}>
          {lead.replace("->", "→")}
        </Text>{" "}
        <Text span c="var(--fb-quiet)">
          {tail}
        </Text>
      </Text>
      <Text size="sm" c="var(--fb-quiet)" className="fb-text">
        {facts.join(" · ")}
      </Text>
      <Budget line={line} budget={run.budget} />
      {live && phase && <PhaseLine phase={phase} run={run} line={line} />}
      {source.live && lost && live && (
        <div className="fb-told" role="status" data-testid="lost">
          <strong>The connection is lost.</strong> What stands here is as of then. The page tries again by itself; if it
          stays so, see whether flowbot ui still runs.
        </div>
      )}
      {line.error && (
        <div className="fb-told fb-told-bad" role="alert" data-testid="run-error">
          <strong>✕ The run was broken off</strong>
          <div className="fb-text fb-mono fb-run-error">{line.error}</div>
        </div>
      )}
      {!live && line.ended !== "done" && line.why && !line.error && (
        <Text size="sm" mt="xs" className="fb-text">
          <Text span fw={600}>
            Ended by {line.ended}:
          </Text>{" "}
          {line.why}
        </Text>
      )}
      {!run.content && (
        <Text size="sm" mt="xs" c="var(--fb-quiet)">
          Texts of the data and of the models were left out on request.
        </Text>
      )}
    </>
  );
}

function Links({ id, run, attempt }: { id: string; run: Run; attempt: boolean }) {
  const { best_id, start_id } = run;
  const shown = [
    best_id && { href: places.candidate(id, best_id), label: "Best workflow", test: "open-best" },
    start_id && best_id !== start_id && { href: places.candidate(id, start_id), label: "Start", test: "open-start" },
    best_id &&
      start_id &&
      best_id !== start_id && {
        href: places.compare(id, start_id, best_id),
        label: "Start against best",
        test: "open-compare",
      },
    run.splits.length > 0 && { href: places.examples(id), label: "Examples", test: "open-examples" },
    attempt && best_id && { href: places.attempt(id, best_id), label: "Try it", test: "open-try" },
  ].filter((each) => typeof each === "object" && each !== null);
  return (
    <nav aria-label="Of this run" className="fb-run-links">
      {shown.map(({ href, label, test }) => (
        <Anchor key={href} component={Link} href={href} size="sm" data-testid={test}>
          {label}
        </Anchor>
      ))}
    </nav>
  );
}

function Budget({ line, budget }: { line: RunLine; budget: Run["budget"] }) {
  const rows: [string, string, number | null, (value: number) => string][] = [
    ["Calls", "calls", line.calls, count],
    ["Tokens", "tokens", line.tokens, count],
    ["Money", "usd", line.usd, money],
    ["Time", "seconds", line.seconds, seconds],
  ];
  return (
    <dl className="fb-budget">
      {rows.map(([name, key, used, text]) => {
        const bound = budget[key] ?? null;
        const share = bound ? Math.min(1, (used ?? 0) / bound) : 0;
        return (
          <div key={key}>
            <dt>{name}</dt>
            <dd>
              {used === null ? "price unknown" : text(used)}
              {bound !== null && <span>{used === null ? `, bound ${text(bound)}` : ` of ${text(bound)}`}</span>}
            </dd>
            {bound !== null && used !== null && (
              <div className="fb-budget-bar" aria-hidden="true">
                <div style={{ width: `${100 * share}%`, background: share > 0.95 ? "var(--fb-bad)" : undefined }} />
              </div>
            )}
          </div>
        );
      })}
    </dl>
  );
}
