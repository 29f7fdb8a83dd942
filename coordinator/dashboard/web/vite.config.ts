import { defineConfig } from "vite";

export default defineConfig({
  build: {
    outDir: "../site/built",
    emptyOutDir: true,
    target: "es2022",
    // The policy of the pages forbids what is not a file of ours.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 600, // in KB before it is packed: the terminal, which only its page loads
    rolldownOptions: {
      // "use client" speaks to servers that render React; here is none.
      onwarn: (warning, tell) => void (warning.code === "MODULE_LEVEL_DIRECTIVE" || tell(warning)),
    },
  },
  server: { proxy: { "/api": "http://127.0.0.1:7080", "/signin": "http://127.0.0.1:7080" } },
});
