import type { ComponentPropsWithRef } from "react";

type Role = "grid" | "rowgroup" | "row" | "columnheader" | "rowheader" | "gridcell";

/** A part of a table whose rows are drawn only where they are in sight, so that it cannot be a table element. */
export function GridPart({ role, ...rest }: { role: Role } & Omit<ComponentPropsWithRef<"div">, "role">) {
  return <div role={role} {...rest} />;
}
