import js from "@eslint/js";
import globals from "globals";

// State and geometry as plain data: no page, so that node can run them as they are.
const WITHOUT_PAGE = ["state", "labels", "sweep", "summary", "scene", "rle", "raster", "camera",
  "geometry", "text", "colours", "model"].map((name) => `samlab/view/**/${name}.js`);

export default [
  { ignores: ["node_modules/", ".venv/", "out/", "build/"] },
  js.configs.recommended,
  {
    files: ["samlab/view/**/*.js"],
    ignores: WITHOUT_PAGE,
    languageOptions: { globals: globals.browser },
  },
  { files: WITHOUT_PAGE, languageOptions: { globals: globals["shared-node-browser"] } },
  {
    files: ["samlab/view/**/*.js"],
    languageOptions: { ecmaVersion: 2022, sourceType: "module" },
    linterOptions: { reportUnusedDisableDirectives: "error" },
    rules: {
      "max-lines-per-function": ["error", { max: 80 }],
      "max-lines": ["error", { max: 200 }],
      "complexity": ["error", 20],
      "eqeqeq": "error",
      "no-var": "error",
      "prefer-const": "error",
      "object-shorthand": "error",
      "no-eval": "error",
      "no-implied-eval": "error",
      "no-restricted-properties": ["error",
        { property: "innerHTML", message: "Text reaches the page through textContent." },
        { property: "outerHTML", message: "Text reaches the page through textContent." }],
      "no-restricted-globals": ["error",
        { name: "fetch", message: "A written file needs no network." }],
      "no-restricted-syntax": ["error",
        { selector: "ExportDefaultDeclaration", message: "Export by name: files share one scope." },
        { selector: "ImportExpression", message: "Import at the top, in one line." }],
    },
  },
];
