import { Group, List, Text } from "@mantine/core";
import { Link } from "wouter";
import type { Candidate } from "../../api/types";
import { places } from "../../app/places";
import { Copy } from "../../parts/Copy";
import "../../parts/text/text.css";
import { originsOf } from "./origins";

interface Props {
  run: string;
  candidate: Candidate | null;
  step: string;
  prompt: string;
}

/** A prompt; what an edit of the run brought is marked with the number of that change, told below. */
export function PromptText({ run, candidate, step, prompt }: Props) {
  const pieces = candidate ? originsOf(prompt, step, candidate.parts) : [{ text: prompt, came: null }];
  const came = [...new Set(pieces.flatMap(({ came }) => (came ? [came] : [])))].sort((a, b) => a - b);
  const way = candidate?.way ?? [];
  const starts: number[] = [];
  pieces.reduce((at, each) => {
    starts.push(at);
    return at + each.text.length;
  }, 0);
  return (
    <div>
      <Group justify="space-between" mb={4}>
        <Text size="xs" c="var(--fb-quiet)">
          {came.length > 0 ? "Marked text was written by the run." : way.length > 1 ? "As the start has it." : ""}
        </Text>
        <Copy text={prompt} label="the prompt" />
      </Group>
      <div className="fb-prompt fb-text" data-testid="prompt">
        {pieces.map((each, at) =>
          each.came ? (
            <span key={starts[at]} className="fb-origin" title={way[each.came]?.name}>
              {each.text}
              <sup>{each.came}</sup>
            </span>
          ) : (
            <span key={starts[at]}>{each.text}</span>
          ),
        )}
      </div>
      {came.length > 0 && (
        <List listStyleType="none" size="sm" mt={8} spacing={2} aria-label="Where marked text came from">
          {came.map((place) => {
            const change = way[place];
            return (
              <List.Item key={place}>
                <Text span size="sm" fw={600} c="var(--fb-open)">
                  {place}
                </Text>{" "}
                {change ? (
                  <Link className="fb-link" href={places.candidate(run, change.id, step)}>
                    {change.name}
                  </Link>
                ) : (
                  "a change"
                )}
                {change?.hypothesis && (
                  <Text span size="sm" c="var(--fb-quiet)">
                    {" "}
                    {change.hypothesis}
                  </Text>
                )}
              </List.Item>
            );
          })}
        </List>
      )}
    </div>
  );
}
