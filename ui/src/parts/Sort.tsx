import "./sort.css";

export interface Order<Key extends string> {
  by: Key;
  descending: boolean;
}

/** The order that a click on a column's head asks for: the other way around where it is the order already. */
export function turned<Key extends string>(order: Order<Key>, by: Key, down: boolean): Order<Key> {
  return order.by === by ? { by, descending: !order.descending } : { by, descending: down };
}

export function ariaSort<Key extends string>(order: Order<Key>, by: Key): "ascending" | "descending" | "none" {
  if (order.by !== by) return "none";
  return order.descending ? "descending" : "ascending";
}

interface SortProps<Key extends string> {
  order: Order<Key>;
  by: Key;
  label: string;
  /** Whether the first click puts the highest first. */
  down?: boolean;
  onOrder: (order: Order<Key>) => void;
}

/** The head of a column that sorts; the cell around it carries `aria-sort`. */
export function SortHead<Key extends string>({ order, by, label, down = false, onOrder }: SortProps<Key>) {
  const mark = order.by !== by ? "" : order.descending ? "↓" : "↑";
  return (
    <button type="button" className="fb-sort" onClick={() => onOrder(turned(order, by, down))}>
      {label}
      <span aria-hidden="true"> {mark}</span>
    </button>
  );
}

/** Compare values of a column, what is not known last in either direction. */
export function compared(left: string | number | null, right: string | number | null, descending: boolean): number {
  if (left === null || right === null) return Number(left === null) - Number(right === null);
  const way = descending ? -1 : 1;
  return typeof left === "number" && typeof right === "number"
    ? way * (left - right)
    : way * String(left).localeCompare(String(right));
}
