export function WorkflowView(_: { run: string; id: string; step: string }) {
  return null;
}
