/** Small bars over iterations, from `values` (null: not counted then), as high as `most`. */
export function Spark({
  values,
  most,
  label,
  color = "var(--fb-bad)",
}: {
  values: (number | null)[];
  most: number;
  label: string;
  color?: string;
}) {
  const wide = Math.max(3, Math.min(12, Math.floor(160 / Math.max(1, values.length))));
  const high = 24;
  return (
    <svg width={Math.max(wide, wide * values.length)} height={high} role="img" aria-label={label}>
      <line x1={0} x2={wide * values.length} y1={high - 0.5} y2={high - 0.5} stroke="var(--fb-line)" />
      {values.map((value, at) => {
        const tall = value === null ? 0 : Math.max(value > 0 ? 2 : 0, (value / Math.max(1, most)) * (high - 2));
        // biome-ignore lint/suspicious/noArrayIndexKey: a bar is its place
        return <rect key={at} x={wide * at + 0.5} y={high - tall} width={wide - 1} height={tall} fill={color} />;
      })}
    </svg>
  );
}
