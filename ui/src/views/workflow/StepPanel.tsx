import { Anchor, CloseButton, Group, Tabs, Text } from "@mantine/core";
import { useState } from "react";
import { Link } from "wouter";
import type { Candidate, Flow, Run, Step } from "../../api/types";
import { places } from "../../app/places";
import { Copy } from "../../parts/Copy";
import { kindWords } from "../../parts/graph/steps";
import { count, money, seconds } from "../../parts/words";
import { costOf, decidingSplit, useLooks } from "./looks";
import { PromptText } from "./PromptText";
import { StepFacts } from "./StepFacts";
import { changesOf, StepHistory } from "./StepHistory";
import { StepOnExample } from "./StepOnExample";

interface Props {
  run: Run;
  candidate: Candidate;
  step: Step;
}

/** All of a step of a candidate: its text with origins, its history, what it did on an example, what is set of it. */
export function StepPanel({ run, candidate, step }: Props) {
  const text = step.kind === "call" ? "Prompt" : step.code ? "Code" : "";
  const [tab, setTab] = useState("text");
  const shown = tab === "text" && !text ? "facts" : tab;
  const changes = changesOf(candidate.way, step.id).length;
  return (
    <section className="fb-side" aria-label={`Step ${step.id}`} data-testid="step-panel">
      <StepHead step={step} close={places.candidate(run.line.id, candidate.line.id)} />
      <StepPrice run={run} candidate={candidate.line.id} step={step.id} />
      <Tabs value={shown} onChange={(value) => setTab(value ?? "text")} keepMounted={false} mt="sm">
        <Tabs.List mb="sm">
          {text && <Tabs.Tab value="text">{text}</Tabs.Tab>}
          <Tabs.Tab value="history">History{changes > 1 ? ` (${changes})` : ""}</Tabs.Tab>
          <Tabs.Tab value="example">On an example</Tabs.Tab>
          <Tabs.Tab value="facts">Step</Tabs.Tab>
        </Tabs.List>
        <Tabs.Panel value="text">
          <StepText run={run} candidate={candidate} step={step} />
        </Tabs.Panel>
        <Tabs.Panel value="history">
          <StepHistory run={run} candidate={candidate} step={step.id} />
        </Tabs.Panel>
        <Tabs.Panel value="example">
          <StepOnExample run={run} candidate={candidate.line.id} step={step.id} />
        </Tabs.Panel>
        <Tabs.Panel value="facts">
          <StepFacts step={step} flow={candidate.flow} />
        </Tabs.Panel>
      </Tabs>
    </section>
  );
}

/** A step of a file: there is no run, so there is no history and no example. */
export function FileStepPanel({ step, flow, close }: { step: Step; flow: Flow; close: () => void }) {
  return (
    <section className="fb-side" aria-label={`Step ${step.id}`} data-testid="step-panel">
      <StepHead step={step} onClose={close} />
      {step.prompt && <PromptText run="" candidate={null} step={step.id} prompt={step.prompt} />}
      {step.code && <Program code={step.code} />}
      <StepFacts step={step} flow={flow} />
    </section>
  );
}

function StepHead({ step, close, onClose }: { step: Step; close?: string; onClose?: () => void }) {
  return (
    <Group justify="space-between" wrap="nowrap" align="flex-start">
      <div style={{ minWidth: 0 }}>
        <Text component="h2" fz={17} fw={600} m={0} className="fb-text">
          {step.id}
        </Text>
        <Text size="sm" c="var(--fb-quiet)" className="fb-text">
          {kindWords(step)}
        </Text>
      </div>
      {close ? (
        <CloseButton component={Link} href={close} aria-label="Close the step" />
      ) : (
        <CloseButton onClick={onClose} aria-label="Close the step" />
      )}
    </Group>
  );
}

function StepText({ run, candidate, step }: Props) {
  if (!run.content && !step.prompt && !step.code)
    return (
      <Text size="sm" c="var(--fb-quiet)">
        Texts were left out on request.
      </Text>
    );
  if (step.prompt) return <PromptText run={run.line.id} candidate={candidate} step={step.id} prompt={step.prompt} />;
  return <Program code={step.code} />;
}

function Program({ code }: { code: string }) {
  return (
    <div>
      <Group justify="flex-end" mb={4}>
        <Copy text={code} label="the code" />
      </Group>
      <pre className="fb-prompt fb-text fb-mono">{code}</pre>
    </div>
  );
}

const FEW = 5;
const MORE = 25;

/** What a step takes on average, over the traces that are looked at; a few at first. */
function StepPrice({ run, candidate, step }: { run: Run; candidate: string; step: string }) {
  const [most, setMost] = useState(FEW);
  const looks = useLooks(run.line.id, candidate, decidingSplit(run.splits), most);
  const cost = costOf(looks.data ?? [], step);
  if (cost === null) return null;
  const words = [seconds(cost.seconds)];
  if (cost.calls > 0) {
    const calls = Number.isInteger(cost.calls) ? cost.calls : cost.calls.toFixed(1);
    words.unshift(`${calls} ${calls === 1 ? "call" : "calls"}`, `${count(cost.tokens)} tokens`, money(cost.usd));
  }
  const more = most === FEW && (looks.data?.length ?? 0) === FEW;
  return (
    <Text size="sm" mt={6} data-testid="step-cost">
      {words.join(" · ")}{" "}
      <Text span size="sm" c="var(--fb-quiet)">
        on average over {cost.runs} {cost.runs === 1 ? "example" : "examples"} ({decidingSplit(run.splits)})
      </Text>
      {more && " "}
      {more && (
        <Anchor component="button" type="button" size="sm" onClick={() => setMost(MORE)}>
          look at {MORE}
        </Anchor>
      )}
    </Text>
  );
}
