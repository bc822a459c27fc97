import { Group, NativeSelect, Radio, Stack, Text, Textarea, TextInput } from "@mantine/core";
import type { Field } from "../../api/types";
import { type Entered, type FieldType, readType } from "./fieldTypes";

interface Props {
  fields: Field[];
  typed: Record<string, string>;
  read: Record<string, Entered>;
  touched: Set<string>;
  disabled: boolean;
  type: (name: string, text: string) => void;
  touch: (name: string) => void;
}

/** A form made from the types of a workflow's inputs. */
export function InputForm({ fields, typed, read, touched, disabled, type, touch }: Props) {
  return (
    <Stack gap="sm" data-testid="try-form">
      {fields.map((field) => {
        const found = read[field.name];
        const wrong = touched.has(field.name) && found !== undefined && "wrong" in found ? found.wrong : undefined;
        return (
          <Input
            key={field.name}
            field={field}
            kind={readType(field.type)}
            value={typed[field.name] ?? ""}
            wrong={wrong}
            disabled={disabled}
            change={(text) => type(field.name, text)}
            leave={() => touch(field.name)}
          />
        );
      })}
      {fields.length === 0 && <Text size="sm">This workflow takes no inputs.</Text>}
    </Stack>
  );
}

interface InputProps {
  field: Field;
  kind: FieldType;
  value: string;
  wrong: string | undefined;
  disabled: boolean;
  change: (text: string) => void;
  leave: () => void;
}

function Input({ field, kind, value, wrong, disabled, change, leave }: InputProps) {
  const shared = {
    label: (
      <>
        {field.name}{" "}
        <Text span size="xs" c="var(--fb-quiet)" fw={400}>
          {field.type}
        </Text>
      </>
    ),
    value,
    error: wrong,
    disabled,
    onBlur: leave,
    name: field.name,
  };
  if (kind.kind === "bool")
    return (
      <Radio.Group {...shared} onChange={change}>
        <Group gap="md" mt={4}>
          <Radio value="true" label="yes" disabled={disabled} />
          <Radio value="false" label="no" disabled={disabled} />
        </Group>
      </Radio.Group>
    );
  if (kind.kind === "choice")
    return (
      <NativeSelect
        {...shared}
        data={[{ value: "", label: "Choose" }, ...kind.choices]}
        onChange={({ currentTarget }) => change(currentTarget.value)}
      />
    );
  if (kind.kind === "number")
    return <TextInput {...shared} inputMode="decimal" onChange={({ currentTarget }) => change(currentTarget.value)} />;
  const plainList = kind.kind === "list" && kind.item.kind !== "list" && kind.item.kind !== "json";
  const json = kind.kind === "json" || (kind.kind === "list" && !plainList);
  return (
    <Textarea
      {...shared}
      autosize
      minRows={json || plainList ? 3 : 2}
      maxRows={14}
      description={plainList ? "One item on each line" : json ? "JSON" : undefined}
      styles={json ? { input: { fontFamily: "var(--mantine-font-family-monospace)" } } : undefined}
      onChange={({ currentTarget }) => change(currentTarget.value)}
    />
  );
}
