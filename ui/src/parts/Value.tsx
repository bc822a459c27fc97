import "./parts.css";
import { Folded } from "./Folded";
import { isRecord, plain } from "./values";

/** Any value of the data, readable: texts folded where they are long, lists numbered, records by their fields. */
export function Value({ value, lines = 12 }: { value: unknown; lines?: number }) {
  if (value === "") return <span className="fb-quiet">empty text</span>;
  if (typeof value === "string") return <Folded text={value} lines={lines} />;
  if (Array.isArray(value) && value.length === 0) return <span className="fb-quiet">empty list</span>;
  if (Array.isArray(value) && value.some((each) => typeof each === "object" || String(each).length > 40))
    return <Items items={value} lines={lines} />;
  if (isRecord(value)) return <Fields fields={value} lines={lines} />;
  return <Folded text={plain(value)} lines={lines} mono />;
}

const MOST = 50;

function Items({ items, lines }: { items: unknown[]; lines: number }) {
  return (
    <ol className="fb-items">
      {items.slice(0, MOST).map((each, place) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: a list of data has no other key, and is never put in another order
        <li key={place}>
          <Value value={each} lines={lines} />
        </li>
      ))}
      {items.length > MOST && <li className="fb-quiet">and {items.length - MOST} more</li>}
    </ol>
  );
}

/** The fields of a record, by name. */
export function Fields({ fields, lines = 12 }: { fields: Record<string, unknown>; lines?: number }) {
  const entries = Object.entries(fields);
  if (entries.length === 0) return <span className="fb-quiet">nothing</span>;
  return (
    <dl className="fb-fields">
      {entries.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>
            <Value value={value} lines={lines} />
          </dd>
        </div>
      ))}
    </dl>
  );
}
