import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { QueryCache, QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { onSignedOut, Problem } from "./api";
import { App } from "./app";
import { applyTheme } from "./theme";
import "./style.css";

applyTheme();

const cache = new QueryClient({
  queryCache: new QueryCache(),
  defaultOptions: {
    queries: {
      // What was refused would be refused again; what did not answer may.
      retry: (times, err) => times < 2 && err instanceof Problem && (err.status === 0 || err.status >= 500),
      retryDelay: (times) => 500 * 2 ** times,
      refetchOnWindowFocus: false,
    },
  },
});
onSignedOut(() => {
  if (cache.getQueryData(["me"])) cache.setQueryData(["me"], null);
});

createRoot(document.getElementById("root")!).render(
  <StrictMode>
    <QueryClientProvider client={cache}>
      <App />
    </QueryClientProvider>
  </StrictMode>,
);
