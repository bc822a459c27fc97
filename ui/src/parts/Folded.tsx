import "./parts.css";
import { UnstyledButton } from "@mantine/core";
import { useState } from "react";
import { beginning, count } from "./words";

/** A text as it stands; a long one is folded after some lines, with a button that shows the rest. */
export function Folded({ text, lines = 12, mono = false }: { text: string; lines?: number; mono?: boolean }) {
  const [open, setOpen] = useState(false);
  const start = beginning(text, lines);
  const long = start.length < text.length;
  return (
    <div>
      <div className={mono ? "fb-text fb-mono" : "fb-text"}>
        {open || !long ? text : start}
        {long && !open && <span aria-hidden="true">…</span>}
      </div>
      {long && (
        <UnstyledButton className="fb-more" aria-expanded={open} onClick={() => setOpen(!open)}>
          {open ? "Show less" : `Show all (${count(text.length)} characters)`}
        </UnstyledButton>
      )}
    </div>
  );
}
