import { Text, Title } from "@mantine/core";
import type { ReactNode } from "react";
import "./page.css";

/** A part of a page under its heading; `aside` stands at the heading's right. */
export function Part({
  title,
  said,
  aside,
  children,
}: {
  title: string;
  said?: string;
  aside?: ReactNode;
  children: ReactNode;
}) {
  return (
    <section className="fb-part" aria-label={title}>
      <div className="fb-part-head">
        <div>
          <Title order={2} size="h5">
            {title}
          </Title>
          {said && (
            <Text size="xs" c="var(--fb-quiet)">
              {said}
            </Text>
          )}
        </div>
        {aside}
      </div>
      {children}
    </section>
  );
}

/** What stands where there is nothing to show, and why. */
export function Empty({ title, children }: { title: string; children?: ReactNode }) {
  return (
    <div className="fb-empty" role="status">
      <Text fw={600}>{title}</Text>
      <Text size="sm" c="var(--fb-quiet)">
        {children}
      </Text>
    </div>
  );
}
