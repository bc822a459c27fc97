import { Alert, type CSSVariablesResolver, createTheme, type MantineColorsTuple } from "@mantine/core";

const blue: MantineColorsTuple = [
  "#e8f3fb",
  "#d0e5f5",
  "#a3cbea",
  "#72b0df",
  "#4a98d4",
  "#2c86c9",
  "#1170b8",
  "#085fa0",
  "#044e86",
  "#033d6a",
];

export const theme = createTheme({
  primaryColor: "blue",
  primaryShade: { light: 7, dark: 4 },
  colors: { blue },
  fontFamily: "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', 'Liberation Sans', sans-serif",
  fontFamilyMonospace: "ui-monospace, 'SF Mono', 'Cascadia Mono', 'Noto Sans Mono', 'Liberation Mono', monospace",
  defaultRadius: "sm",
  cursorType: "pointer",
  headings: { fontWeight: "600" },
  components: {
    // its own title is too pale in light, its own ground too strong in dark
    Alert: Alert.extend({ styles: { root: { background: "var(--fb-bad-soft)" }, title: { color: "var(--fb-bad)" } } }),
  },
});

/**
 * Colours with a meaning, told apart by the colour-blind too (after Okabe and Ito) and always beside a shape or a word.
 * Those in the light scheme are dark enough, those in the dark one light enough, for text (WCAG AA).
 */
export const resolver: CSSVariablesResolver = () => ({
  variables: {},
  light: {
    "--fb-good": "#00684c",
    "--fb-bad": "#a8430a",
    "--fb-open": "#6b4fa0",
    "--fb-best": "#0b5c9e",
    "--fb-quiet": "#5c636b",
    "--fb-line": "#d5dae0",
    "--fb-panel": "#f6f8fa",
    "--fb-good-soft": "#d9f1e8",
    "--fb-bad-soft": "#fbe4d6",
    "--fb-open-soft": "#ebe4f7",
  },
  dark: {
    "--mantine-color-blue-filled": blue[6],
    "--mantine-color-blue-filled-hover": blue[7],
    "--mantine-primary-color-filled": blue[6],
    "--mantine-primary-color-filled-hover": blue[7],
    "--fb-good": "#3fd0a2",
    "--fb-bad": "#f5935a",
    "--fb-open": "#bfa6ee",
    "--fb-best": "#79bdf2",
    "--fb-quiet": "#a3abb5",
    "--fb-line": "#3d444d",
    "--fb-panel": "#22262b",
    "--fb-good-soft": "#123c30",
    "--fb-bad-soft": "#4a2812",
    "--fb-open-soft": "#352a4d",
  },
});
