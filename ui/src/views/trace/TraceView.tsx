export function TraceView(_: { run: string; workflow: string; draw: string; example: string }) {
  return null;
}
