import { Group, NativeSelect, Select, TextInput } from "@mantine/core";
import { useDebouncedCallback } from "@mantine/hooks";
import { IconPlus, IconSearch } from "@tabler/icons-react";
import { useMemo, useState } from "react";
import type { Run } from "../../api/types";
import { nameOf } from "../../parts/CandidateName";
import { fates } from "../../parts/Fate";
import { type Table, withMinus } from "./table";

const MOST = 40; // columns: a server answers for 50

type Props = { run: Run; held: string[] | undefined; table: Table; change: (table: Table) => void };

/** What is shown in the table: a filter, further candidates, and the two that are subtracted. */
export function Toolbar({ run, held, table, change }: Props) {
  const [find, setFind] = useState(table.find);
  const search = useDebouncedCallback((text: string) => change({ ...table, find: text }), 250);
  const options = useMemo(
    () =>
      run.candidates
        .filter((each) => held === undefined || held.includes(each.id))
        .map((each) => ({
          value: each.id,
          label:
            `${fates[each.fate].mark} ${nameOf(run, each.id)}  #${each.number} ${each.operator} ${each.hypothesis}`.slice(
              0,
              120,
            ),
        })),
    [run, held],
  );
  const columns = table.columns.map((id) => ({ value: id, label: nameOf(run, id) }));
  const none = { value: "", label: "none" };
  const [first = "", second = ""] = table.minus ?? [];
  const pair = (left: string, right: string) =>
    change(withMinus(table, left && right && left !== right ? [left, right] : null));
  return (
    <Group gap="sm" mb="sm" align="end" className="fb-toolbar">
      <TextInput
        size="xs"
        w={260}
        label="Find"
        placeholder="in id, inputs and target"
        leftSection={<IconSearch size={14} />}
        value={find}
        onChange={(event) => {
          setFind(event.currentTarget.value);
          search(event.currentTarget.value);
        }}
        data-testid="examples-find"
      />
      <Select
        size="xs"
        w={300}
        label="Add a candidate"
        placeholder="by id, operator or hypothesis"
        leftSection={<IconPlus size={14} />}
        data={options.filter((each) => !table.columns.includes(each.value))}
        disabled={table.columns.length >= MOST}
        searchable
        limit={40}
        value={null}
        nothingFoundMessage="No such candidate"
        comboboxProps={{ width: 520, position: "bottom-start" }}
        onChange={(id) => id && change({ ...table, columns: [...table.columns, id] })}
        data-testid="examples-add"
      />
      <NativeSelect
        size="xs"
        label="Difference of"
        data={[none, ...columns]}
        value={first}
        onChange={(event) => pair(event.currentTarget.value, second || other(table, event.currentTarget.value))}
        data-testid="examples-minus-left"
      />
      <NativeSelect
        size="xs"
        label="and"
        data={[none, ...columns]}
        value={second}
        onChange={(event) => pair(first || other(table, event.currentTarget.value), event.currentTarget.value)}
      />
    </Group>
  );
}

/** Another column than this one, to subtract when only one of the two was chosen. */
function other(table: Table, id: string): string {
  return id ? (table.columns.find((each) => each !== id) ?? "") : "";
}
