import { Anchor, Button, Text } from "@mantine/core";
import { useState } from "react";
import { Link } from "wouter";
import { places } from "../../app/places";

const MOST = 8;

/** Links to examples by id; of many the first ones, and a button for the rest. */
export function ExampleLinks({ run, split, ids, none }: { run: string; split: string; ids: string[]; none: string }) {
  const [all, setAll] = useState(false);
  if (ids.length === 0)
    return (
      <Text span size="sm" c="var(--fb-quiet)">
        {none}
      </Text>
    );
  const shown = all || ids.length <= MOST + 1 ? ids : ids.slice(0, MOST);
  return (
    <span>
      {shown.map((id) => (
        <Anchor key={id} component={Link} href={places.example(run, split, id)} size="sm" mr={10} className="fb-text">
          {id}
        </Anchor>
      ))}
      {shown.length < ids.length && (
        <Button variant="subtle" size="compact-xs" onClick={() => setAll(true)}>
          {ids.length - shown.length} more
        </Button>
      )}
    </span>
  );
}
