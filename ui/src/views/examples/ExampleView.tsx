export function ExampleView(_: { run: string; split: string; id: string }) {
  return null;
}
