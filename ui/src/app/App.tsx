import "./styles";
import "./app.css";
import { MantineProvider } from "@mantine/core";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { Router } from "wouter";
import { useHashLocation } from "wouter/use-hash-location";
import { Refused, type Source, SourceContext } from "../api/source";
import { Shell } from "./Shell";
import { resolver, theme } from "./theme";

const client = new QueryClient({
  defaultOptions: {
    queries: {
      refetchOnWindowFocus: false,
      retry: (count, error) => count < 2 && !(error instanceof Refused && error.status < 500),
    },
  },
});

export function App({ source }: { source: Source }) {
  return (
    <MantineProvider theme={theme} cssVariablesResolver={resolver} defaultColorScheme="auto">
      <QueryClientProvider client={client}>
        <SourceContext.Provider value={source}>
          <Router hook={useHashLocation}>
            <Shell />
          </Router>
        </SourceContext.Provider>
      </QueryClientProvider>
    </MantineProvider>
  );
}
