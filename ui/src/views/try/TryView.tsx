export function TryView(_: { run: string; candidate: string }) {
  return null;
}
