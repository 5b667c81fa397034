// Checks the names that the docs mention: fields of the object in text and examples, environment variables, make targets, REST routes, files,
// images and their versions.
//   node e2e/fields.mjs [FILE…]     these pages instead of all
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { routes as rest } from "./tests/lib/routes.mjs";

const read = (file) => readFileSync(new URL(`../${file}`, import.meta.url), "utf8");
const tracked = (...patterns) => execFileSync("git", ["ls-files", ...patterns], { encoding: "utf8" }).split("\n").filter(Boolean);
const pages = process.argv.length > 2 ? process.argv.slice(2)
  : tracked("*.md").filter((file) => !/^(docs\/adr\/|docs\/REFERENCE\.md|CHANGELOG\.md)|node_modules/.test(file));

// The object, as docs/REFERENCE.md lists it.
const types = new Map(), same = new Map();
for (const [, path, type, text] of read("docs/REFERENCE.md").matchAll(/^\| `((?:spec|status)[^`]*)` \| (.*?) \| .*? \| (.*) \|$/gm)) {
  types.set(path.replaceAll("[]", ""), type);
  const other = text.match(/Fields as those of `([^`]+)`/)?.[1];
  if (other) same.set(path.replaceAll("[]", ""), other.replaceAll("[]", ""));
}
const prefixes = new Set([...types.keys()].flatMap((path) => path.split(".").map((_, index, all) => all.slice(0, index + 1).join("."))));
/** The path as the reference has it, or undefined. */
function known(path) {
  let at = "";
  for (const name of path.split(".")) {
    if (/^map to (?!object)|^object$/.test(types.get(at) ?? "") && ![...prefixes].some((one) => one.startsWith(`${at}.`)) && !same.has(at)) return at;
    const from = same.get(at) ?? at;
    const next = [name, "*"].map((part) => (from ? `${from}.${part}` : part)).find((one) => prefixes.has(one));
    // NAME and * stand for each.
    at = next ?? (/^(NAME|\*)$/.test(name) ? [...prefixes].find((one) => one.startsWith(`${from}.`)) : undefined);
    if (!at) return undefined;
  }
  return at;
}

/** The keys of a YAML example as paths; lists add nothing to a path. */
function keys(text) {
  const found = [], stack = [];
  const flow = (rest, path) => {
    const open = [path];
    for (const [token, quoted, key] of rest.matchAll(/("(?:[^"\\]|\\.)*"|'[^']*')|([A-Za-z][\w.-]*):(?=\s)|[{}]/g)) {
      if (quoted) continue;
      if (token === "{") open.push(open.at(-1));
      else if (token === "}") open.pop();
      else { open[open.length - 1] = `${open.at(-2)}.${key}`; found.push(open.at(-1)); }
    }
  };
  for (const line of text.split("\n")) {
    const [, indent, dash, key, rest] = line.replace(/(^|\s)#.*$/, "").match(/^(\s*)((?:- )*)(?:([A-Za-z][\w.-]*):(?=\s|$))?(.*)$/) ?? [];
    const depth = indent.length + dash.length;
    if (line.trim() === "") continue;
    while (stack.length > 0 && stack.at(-1).depth >= depth) stack.pop();
    const path = [...stack.map(({ key }) => key), ...(key ? [key] : [])].join(".");
    if (key) { found.push(path); stack.push({ depth, key }); }
    flow(rest ?? "", path);
  }
  return found;
}

const settings = JSON.parse(read("config/config.schema.json"));
const variables = new Set();
(function collect(schema, path) {
  const reached = schema.$ref ? settings[schema.$ref.split("/")[1]][schema.$ref.split("/")[2]] : schema;
  for (const one of [reached, ...(reached.anyOf ?? []), ...(reached.allOf ?? [])]) {
    if (one !== reached) collect(one, path);
    for (const [key, value] of Object.entries(one.properties ?? {})) {
      const next = [...path, key.toUpperCase()];
      variables.add(next.join("_"));
      collect(value, next);
    }
  }
})(settings, []);
const targets = new Set([...read("Makefile").matchAll(/^([a-z-]+):/gm)].map(([, name]) => name));
const routes = new Set([...rest.map(({ path }) => path), ...read("services/account/src/routes.rs").match(/"\/[a-z_/]+"/g).map((text) => text.slice(1, -1))]);
const version = read("Cargo.toml").match(/^version = "(.*)"/m)[1];
const images = read("operator/planner/src/servers.rs");
// Routes of upstream that pages name because this server lacks them.
const absent = /^\/(msg\/append_stream_msg|timer\/|third\/translate_text|group\/clear_$|user\/import\/xlsx)/;

const wrong = [];
for (const page of pages) {
  const text = readFileSync(page, "utf8");
  const complain = (what) => wrong.push(`${page}: ${what}`);
  for (const [, path] of text.matchAll(/`((?:spec|status)\.[A-Za-z.*]+)(?:\[\])?[^`]*`/g)) {
    const end = path.replace(/\.$/, "");
    if (!known(end)) complain(`there is no field ${end}`);
  }
  for (const [, kind, block] of text.matchAll(/^ *```(yaml|sh)\n([\s\S]*?)^ *```/gm)) {
    const objects = kind === "sh" ? [...block.matchAll(/<<END\n(apiVersion: openim[\s\S]*?)\nEND/g)].map(([, object]) => object)
      : /^(apiVersion: openim\.io|# OpenIMCluster|spec:)/.test(block) && !/^kind: (?!OpenIMCluster)/m.test(block) ? [block] : [];
    for (const object of objects) for (const path of keys(object)) if (path.startsWith("spec.") && !known(path)) complain(`an example has the field ${path}`);
  }
  for (const [, name] of text.matchAll(/IMENV_([A-Z][A-Z0-9_]*)/g)) if (!variables.has(name)) complain(`there is no setting IMENV_${name}`);
  for (const [, name] of text.matchAll(/(?:`|^)make ([a-z][a-z-]+)/gm)) if (!targets.has(name)) complain(`there is no make ${name}`);
  for (const [, route] of text.matchAll(/(?<=[`\s(])(\/(?:user|auth|msg|group|friend|conversation|third|object|config|jssdk|statistics)(?:\/[a-z_]+)+)(?![\w/*…])/g))
    if (!routes.has(route) && !absent.test(route)) complain(`there is no route ${route}`);
  for (const [, path] of text.matchAll(/`((?:crates|services|operator|e2e|config|charts|crds|docs)\/[\w./-]*[\w/])(?: [^`]*)?`/g))
    if (!existsSync(path)) complain(`there is no ${path}`);
  for (const [image, tag] of text.matchAll(/openim-(?:server|operator|\$target):(\d+\.\d+\.\d+)/g)) if (tag !== version) complain(`${image} is not version ${version}`);
  for (const [image] of text.matchAll(/docker\.io\/(?:library|apache)\/\w+:[\w.]+/g)) if (!images.includes(`"${image}"`)) complain(`${image} is not an image of operator/planner/src/servers.rs`);
}
// The table of routes says what the code says of each.
const listed = process.argv.length > 2 ? "" : read("docs/protocol/rest.md");
for (const { path, description, admin, beyond } of listed === "" ? [] : rest) {
  if (beyond) continue;
  const [, access, text] = listed.match(new RegExp(`^\\| \`(?:GET )?${path.replaceAll("*", "\\*")}\` \\| (.*?) \\| (.*?) \\|$`, "m")) ?? [];
  if (text !== description) wrong.push(`docs/protocol/rest.md: ${path} is described as "${description}" in services/api/src/routes.rs`);
  if (admin !== access?.startsWith("administrator")) wrong.push(`docs/protocol/rest.md: ${path} is${admin ? "" : " not"} for administrators only`);
}
if (pages.length === 0) wrong.push("there is nothing to read");
if (wrong.length > 0) {
  console.error([...new Set(wrong)].join("\n"));
  process.exit(1);
}
console.log(`${pages.length} pages name only what there is`);
