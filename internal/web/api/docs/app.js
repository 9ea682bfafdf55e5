// Draws the reference from /openapi.json. Nothing is loaded from anywhere else, and text of the document is only ever
// set as text, never as markup.
"use strict";

const verbs = ["get", "post", "put", "patch", "delete"];
let doc;

// el makes an element: el("a", {href: "#x"}, "text", child).
function el(name, attrs, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attrs || {})) {
    if (value !== undefined && value !== null && value !== false) node.setAttribute(key, value);
  }
  for (const child of children.flat(2)) {
    if (child !== undefined && child !== null && child !== "") node.append(child);
  }
  return node;
}

// prose shows the document's little markup: paragraphs, `code`, **bold**.
function prose(text) {
  return (text || "").split(/\n\n+/).filter(Boolean).map((part) => el("p", {}, inline(part)));
}

function inline(text) {
  return text.split(/(`[^`]+`|\*\*[^*]+\*\*)/).map((piece) => {
    if (piece.startsWith("`")) return el("code", {}, piece.slice(1, -1));
    if (piece.startsWith("**")) return el("strong", {}, piece.slice(2, -2));
    return piece;
  });
}

// resolve follows a reference inside the document.
function resolve(ref) {
  return ref.split("/").slice(1).reduce((at, key) => (at ? at[key.replace(/~1/g, "/").replace(/~0/g, "~")] : undefined), doc);
}

function deref(thing) {
  return thing && thing.$ref ? resolve(thing.$ref) || {} : thing || {};
}

const titleOf = (op) => op.summary || op.operationId;

const refName = (schema) => (schema && schema.$ref ? schema.$ref.split("/").pop() : "");

function typeOf(schema) {
  if (!schema) return "any";
  if (schema.$ref) return refName(schema);
  const type = Array.isArray(schema.type) ? schema.type.filter((t) => t !== "null").join(" | ") : schema.type;
  const nullable = Array.isArray(schema.type) && schema.type.includes("null") ? ", or null" : "";
  if (type === "array") return "list of " + typeOf(schema.items) + nullable;
  if (type === "object" && schema.additionalProperties && schema.additionalProperties.type) {
    return "map of " + typeOf(schema.additionalProperties) + nullable;
  }
  const form = schema.format && !["int64", "int32", "double"].includes(schema.format) ? " (" + schema.format + ")" : "";
  return (type || "any") + form + nullable;
}

// typeNode is typeOf with a link where the type has a section of its own.
function typeNode(schema) {
  const name = refName(schema) || refName(schema && schema.items);
  const text = typeOf(schema);
  return name ? el("a", {href: "#schema-" + name}, text) : el("span", {}, text);
}

function limits(schema) {
  const out = [];
  if (schema.enum) out.push("one of " + schema.enum.join(", "));
  if (schema.minimum !== undefined) out.push("≥ " + schema.minimum);
  if (schema.maximum !== undefined) out.push("≤ " + schema.maximum);
  if (schema.minLength !== undefined) out.push("at least " + schema.minLength + " characters");
  if (schema.maxLength !== undefined) out.push("at most " + schema.maxLength + " characters");
  if (schema.maxItems !== undefined) out.push("at most " + schema.maxItems + " items");
  if (schema.default !== undefined) out.push("default " + JSON.stringify(schema.default));
  return out.join("; ");
}

// example makes a value of a schema: its own examples first, then its default, its first choice, its shape.
function example(schema, depth = 0, request = false) {
  if (!schema || depth > 7) return null;
  if (schema.examples && schema.examples.length) return schema.examples[0];
  if (schema.$ref) return example(resolve(schema.$ref), depth + 1, request);
  if (schema.default !== undefined) return schema.default;
  if (schema.enum) return schema.enum[0];
  const type = Array.isArray(schema.type) ? schema.type.find((t) => t !== "null") : schema.type;
  switch (type) {
    case "object": {
      const out = {};
      for (const [key, value] of Object.entries(schema.properties || {})) {
        const optional = !(schema.required || []).includes(key);
        if (request && optional && depth > 1 && value.$ref) continue;
        out[key] = example(value, depth + 1, request);
      }
      return out;
    }
    case "array": return [example(schema.items, depth + 1, request)].filter((v) => v !== null);
    case "integer": case "number": return schema.minimum || 0;
    case "boolean": return true;
    case "string":
      if (schema.format === "date-time") return "2026-11-22T10:00:00Z";
      if (schema.contentEncoding) return "bytes in base64";
      return "string";
    default: return {};
  }
}

// sample shows text with a button to copy it; label tells it from every other sample of the page.
function sample(text, label) {
  const copy = el("button", {type: "button"});
  const say = (word) => {
    copy.textContent = word;
    copy.setAttribute("aria-label", word + ": " + label);
  };
  say("Copy");
  copy.addEventListener("click", () => {
    const failed = () => say("Can't copy here");
    if (!navigator.clipboard) return failed(); // browsers offer it over HTTPS and on loopback only
    navigator.clipboard.writeText(text).then(() => {
      say("Copied");
      setTimeout(() => say("Copy"), 1500);
    }, failed);
  });
  return el("div", {class: "sample"}, el("pre", {tabindex: "0", role: "group", "aria-label": label}, el("code", {}, text)), copy);
}

const quote = (s) => "'" + s.replace(/'/g, "'\\''") + "'";

function curl(verb, path, op) {
  const query = (op.parameters || []).map(deref).filter((p) => p.in === "query" && p.required).map((p) => p.name + "=…").join("&");
  const target = location.origin + path.replace(/\{(\w+)\}/g, (_, name) => "$" + name.toUpperCase()) + (query ? "?" + query : "");
  const lines = ["curl " + (verb === "get" ? "" : "-X " + verb.toUpperCase() + " ") + JSON.stringify(target)];
  if (op.security) lines.push('-H "X-API-Key: $ASSAY_API_KEY"');
  const body = op.requestBody && op.requestBody.content && op.requestBody.content["application/json"];
  if (body) {
    lines.push('-H "Content-Type: application/json"', "-d " + quote(JSON.stringify(required(body.schema))));
  }
  return lines.join(" \\\n  ");
}

// required is the smallest body that an operation takes.
function required(schema) {
  const s = deref(schema);
  const out = {};
  for (const key of s.required || []) out[key] = example((s.properties || {})[key], 1, true);
  return out;
}

function table(caption, head, rows) {
  return el("table", {}, el("caption", {class: "hidden"}, caption),
    el("thead", {}, el("tr", {}, head.map((h) => el("th", {scope: "col"}, h)))), el("tbody", {}, rows));
}

function describe(schema, text) {
  const bound = limits(schema);
  return [el("div", {}, inline(text || schema.description || "")), bound ? el("div", {class: "soft"}, bound) : ""];
}

function parameters(op) {
  const list = (op.parameters || []).map(deref);
  if (!list.length) return [];
  const rows = list.map((p) => el("tr", {},
    el("td", {}, el("code", {}, p.name), p.required ? el("span", {class: "need"}, "required") : ""),
    el("td", {}, p.in), el("td", {}, typeNode(p.schema)), el("td", {}, describe(p.schema || {}, p.description))));
  return [el("h4", {}, "Parameters"), table("Parameters", ["Name", "In", "Type", "Meaning"], rows)];
}

function properties(schema) {
  const s = deref(schema);
  const rows = Object.entries(s.properties || {}).map(([name, value]) => el("tr", {},
    el("td", {}, el("code", {}, name), (s.required || []).includes(name) ? el("span", {class: "need"}, "required") : ""),
    el("td", {}, typeNode(value)), el("td", {}, describe(value))));
  return rows.length ? table("Fields", ["Field", "Type", "Meaning"], rows) : el("p", {class: "soft"}, typeOf(s));
}

function requestBody(op) {
  const media = op.requestBody && op.requestBody.content && op.requestBody.content["application/json"];
  if (!media) return [];
  return [el("h4", {}, "Body"), properties(media.schema),
    sample(JSON.stringify(example(media.schema, 0, true), null, 2), "example body, " + titleOf(op))];
}

function responses(op) {
  const out = [el("h4", {}, "Answers")];
  for (const [status, ref] of Object.entries(op.responses || {})) {
    const r = deref(ref);
    const media = Object.entries(r.content || {});
    const good = status < "400";
    const box = el("details", good ? {open: ""} : {}, el("summary", {}, el("code", {}, status), " " + (r.description || "")));
    for (const [type, m] of media) {
      box.append(el("p", {class: "soft"}, type + " — ", typeNode(m.schema), m.schema && m.schema.description ? ": " + m.schema.description : ""));
      if (good && m.schema && m.schema.$ref) box.append(sample(JSON.stringify(example(m.schema), null, 2), "example answer " + status + ", " + titleOf(op)));
    }
    out.push(box);
  }
  return out;
}

function operation(verb, path, op) {
  const id = "op-" + op.operationId;
  return el("article", {id, "data-text": [op.summary, path, verb, op.operationId, op["x-scope"]].join(" ").toLowerCase(), "aria-labelledby": id + "-h"},
    el("h3", {id: id + "-h"}, titleOf(op)),
    el("div", {class: "route"}, el("span", {class: "verb " + verb}, verb.toUpperCase()), el("span", {}, path)),
    el("p", {class: "facts"}, op.security ? ["Scope ", el("code", {}, op["x-scope"])] : "No credential needed.",
      " Audited as ", el("code", {}, op["x-audit-action"])),
    prose(op.description), sample(curl(verb, path, op), "curl line, " + titleOf(op)), parameters(op), requestBody(op), responses(op));
}

function groups() {
  const out = new Map((doc.tags || []).map((tag) => [tag.name, []]));
  for (const [path, item] of Object.entries(doc.paths)) {
    for (const verb of verbs) {
      if (!item[verb]) continue;
      const tag = (item[verb].tags || ["Other"])[0];
      if (!out.has(tag)) out.set(tag, []);
      out.get(tag).push({verb, path, op: item[verb]});
    }
  }
  return out;
}

function draw() {
  const main = document.getElementById("content");
  const nav = document.getElementById("nav");
  main.replaceChildren(el("h1", {}, doc.info.title + " API"), el("p", {class: "soft"}, "Version " + doc.info.version), ...prose(doc.info.description));
  nav.replaceChildren();
  for (const [tag, ops] of groups()) {
    main.append(el("h2", {class: "tag"}, tag));
    nav.append(el("h2", {}, tag), el("ul", {}, ops.map(({verb, op}) =>
      el("li", {}, el("a", {href: "#op-" + op.operationId}, el("span", {class: "verb " + verb}, verb.toUpperCase()), titleOf(op))))));
    for (const {verb, path, op} of ops) main.append(operation(verb, path, op));
  }
  const schemas = Object.entries((doc.components && doc.components.schemas) || {});
  main.append(el("h2", {class: "tag"}, "Schemas"));
  nav.append(el("h2", {}, "Schemas"), el("ul", {}, schemas.map(([name]) => el("li", {}, el("a", {href: "#schema-" + name}, name)))));
  for (const [name, schema] of schemas) {
    main.append(el("article", {id: "schema-" + name, "data-text": name.toLowerCase(), "aria-labelledby": "schema-" + name + "-h"},
      el("h3", {id: "schema-" + name + "-h"}, name), prose(schema.description), properties(schema)));
  }
  main.append(el("p", {id: "nothing", class: "none", role: "status"}, "Nothing matches."));
  if (location.hash) {
    const at = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (at) at.scrollIntoView();
  }
}

// search hides what doesn't hold every word.
function search(text) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  let left = 0;
  for (const article of document.querySelectorAll("article")) {
    const hit = words.every((w) => article.dataset.text.includes(w));
    article.classList.toggle("none", !hit);
    if (hit) left++;
    const link = document.querySelector('#nav a[href="#' + CSS.escape(article.id) + '"]');
    if (link) link.parentElement.classList.toggle("none", !hit);
  }
  document.getElementById("nothing").classList.toggle("none", left > 0);
}

function theme() {
  const root = document.documentElement;
  let kept = null;
  try { kept = localStorage.getItem("theme"); } catch { /* private mode: the choice lasts for the page */ }
  root.dataset.theme = kept || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
  document.getElementById("theme").addEventListener("click", () => {
    root.dataset.theme = root.dataset.theme === "dark" ? "light" : "dark";
    try { localStorage.setItem("theme", root.dataset.theme); } catch { /* see above */ }
  });
}

function current() {
  for (const a of document.querySelectorAll("#nav a")) {
    if (a.getAttribute("href") === location.hash) a.setAttribute("aria-current", "true");
    else a.removeAttribute("aria-current");
  }
}

theme();
const box = document.getElementById("search");
box.addEventListener("input", () => search(box.value));
document.addEventListener("keydown", (event) => {
  if (event.key === "/" && document.activeElement !== box) {
    event.preventDefault();
    box.focus();
  }
});
addEventListener("hashchange", current);
fetch("/openapi.json").then((r) => r.json()).then((d) => {
  doc = d;
  draw();
  current();
}).catch(() => { document.getElementById("status").textContent = "The API document could not be loaded; try /openapi.json."; });
