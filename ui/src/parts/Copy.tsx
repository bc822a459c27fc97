import { ActionIcon, CopyButton, Tooltip } from "@mantine/core";
import { IconCheck, IconCopy } from "@tabler/icons-react";

/** A button that copies a text; `label` says what is copied. */
export function Copy({ text, label }: { text: string; label: string }) {
  return (
    <CopyButton value={text}>
      {({ copied, copy }) => {
        const said = copied ? "Copied" : `Copy ${label}`;
        return (
          <Tooltip label={said} openDelay={300}>
            <ActionIcon variant="subtle" color="gray" size="sm" aria-label={said} onClick={copy}>
              {copied ? <IconCheck size={14} /> : <IconCopy size={14} />}
            </ActionIcon>
          </Tooltip>
        );
      }}
    </CopyButton>
  );
}
