import { Alert, Center, Loader } from "@mantine/core";
import { Refused } from "../api/source";

export function Loading() {
  return (
    <Center p="xl">
      <Loader aria-label="Loading" />
    </Center>
  );
}

/** What is wrong, where it is wrong, and what to do. */
export function Wrong({ error }: { error: Error }) {
  const said = error instanceof Refused ? error : null;
  return (
    <Alert variant="light" color="orange" role="alert" title={said?.error ?? error.message} m="md">
      {said?.status === 403 ? "Open the address that flowbot ui printed: it holds the key to this page." : said?.mend}
    </Alert>
  );
}
