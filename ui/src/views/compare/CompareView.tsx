export function CompareView(_: { run: string; left: string; right: string }) {
  return null;
}
