// Shows the OpenAPI document as a page. It asks nobody but this coordinator, and
// writes what it shows as text, never as markup.
"use strict";

const methods = ["get", "post", "put", "patch", "delete"];

// el makes an element with children, which are elements or text.
function el(name, attributes, ...children) {
  const e = document.createElement(name);
  for (const [k, v] of Object.entries(attributes || {})) e.setAttribute(k, v);
  e.append(...children.filter((c) => c !== null && c !== undefined && c !== ""));
  return e;
}

const json = (v) => (typeof v === "string" ? v : JSON.stringify(v, null, 2));

let doc;
const resolve = (s) => (s && s.$ref ? doc.components.schemas[s.$ref.split("/").pop()] : s) || {};
const nameOf = (s) => (s && s.$ref ? s.$ref.split("/").pop() : "");

// typeOf says in a few words what a schema lets pass.
function typeOf(s) {
  if (!s) return "";
  if (s.$ref) return nameOf(s);
  let t = [].concat(s.type || "any").join(" or ");
  if (t.startsWith("array")) t = "list of " + typeOf(s.items);
  if (s.additionalProperties && s.additionalProperties.type) t = "map of " + s.additionalProperties.type;
  if (s.enum) t = s.enum.map((v) => JSON.stringify(v)).join(" | ");
  if (s.format) t += ", " + s.format;
  const least = s.minimum ?? s.minLength, most = s.maximum ?? s.maxLength;
  if (least !== undefined || most !== undefined) t += ", " + (least ?? "") + "…" + (most ?? "");
  if (s.default !== undefined) t += ", default " + JSON.stringify(s.default);
  return t;
}

function table(heads, rows) {
  return el("table", {}, el("tr", {}, ...heads.map((h) => el("th", {}, h))),
    ...rows.map((r) => el("tr", {}, ...r.map((c) => el("td", {}, c)))));
}

// fields is the table of an object's properties.
function fields(schema) {
  const s = resolve(schema);
  const props = Object.entries(s.properties || {});
  if (!props.length) return null;
  return table(["Field", "Type", ""], props.map(([name, p]) => [
    el("code", {}, name + ((s.required || []).includes(name) ? "" : "?")), typeOf(p), p.description || resolve(p).description || "",
  ]));
}

// curl is the operation as one would try it in a terminal.
function curl(path, method, op, body) {
  let url = location.origin + path;
  for (const p of op.parameters || []) if (p.in === "path") url = url.replace(`{${p.name}}`, p.example ?? p.name);
  let text = `curl ${method === "get" ? "" : `-X ${method.toUpperCase()} `}'${url}'`;
  if ((op.security || []).length) text += ` \\\n  -H "Authorization: Bearer $ADIT_TOKEN"`;
  if (body !== undefined) text += ` \\\n  -H 'Content-Type: application/json' -d '${JSON.stringify(body).replaceAll("'", "'\\''")}'`;
  return text;
}

function details(path, method, op) {
  const out = el("div", { class: "body" });
  if (op.description) out.append(el("p", {}, op.description));
  const who = (op.security || []).flatMap((s) => Object.keys(s));
  out.append(el("p", { class: "soft" }, `${op.operationId} · ` + (who.length ? "needs " + who.join(" or ") : "needs no token")));
  if ((op.parameters || []).length) {
    out.append(el("h4", {}, "Parameters"), table(["Name", "In", "Type", ""], op.parameters.map((p) => [
      el("code", {}, p.name), p.in, typeOf(p.schema), p.description || "",
    ])));
  }
  let example;
  const media = op.requestBody && Object.entries(op.requestBody.content)[0];
  if (media) {
    example = media[1].example;
    out.append(el("h4", {}, "Request: " + media[0] + " " + nameOf(media[1].schema)));
    const f = fields(media[1].schema);
    if (f) out.append(f);
  }
  out.append(el("h4", {}, "Try it"), el("pre", {}, curl(path, method, op, example)));
  const codes = Object.entries(op.responses || {});
  for (const [status, r] of codes.filter(([s]) => s < 300)) {
    const [type, m] = Object.entries(r.content || {})[0] || [];
    out.append(el("h4", {}, `${status}: ${r.description}` + (type ? ` · ${type} ${nameOf(m.schema)}` : "")));
    if (m) {
      const f = fields(m.schema);
      if (f) out.append(f);
      if (m.example !== undefined) out.append(el("pre", {}, json(m.example)));
    }
  }
  out.append(el("h4", {}, "Otherwise"), el("p", {}, codes.filter(([s]) => s >= 300).map(([s, r]) => `${s} ${r.description}`).join(" · ")));
  return out;
}

function operation(path, method, op) {
  const d = el("details", { id: op.operationId },
    el("summary", {}, el("span", { class: "method " + method }, method.toUpperCase()), el("code", {}, path.replace("/api/v1", "")), el("span", { class: "what" }, op.summary || "")));
  d.addEventListener("toggle", () => { if (d.open && d.children.length === 1) d.append(details(path, method, op)); });
  return d;
}

function show() {
  const main = document.getElementById("main"), index = document.getElementById("index");
  main.replaceChildren(el("h1", {}, `${doc.info.title} ${doc.info.version}`), el("p", {}, doc.info.description || ""),
    el("p", {}, el("a", { href: "/api/openapi.json" }, "openapi.json"), ` · OpenAPI ${doc.openapi}`));
  const chapters = new Map((doc.tags || []).map((t) => [t.name, []]));
  for (const [path, item] of Object.entries(doc.paths)) {
    for (const method of methods) {
      const op = item[method];
      if (op) for (const tag of op.tags || ["other"]) chapters.set(tag, [...(chapters.get(tag) || []), [path, method, op]]);
    }
  }
  // A narrow page has no room for it beside the text.
  const wide = matchMedia("(min-width: 50.01rem)"), menu = document.getElementById("menu");
  const fit = () => { menu.open = wide.matches; };
  wide.addEventListener("change", fit);
  fit();
  const found = [];
  for (const [tag, list] of chapters) {
    if (!list.length) continue;
    const head = el("h2", { id: "tag-" + tag }, tag), side = el("h3", {}, tag);
    main.append(head);
    index.append(side);
    for (const [path, method, op] of list) {
      const d = operation(path, method, op), link = el("a", { href: "#" + op.operationId, title: op.summary || "" }, op.operationId);
      main.append(d);
      index.append(link);
      found.push({ text: `${path} ${method} ${op.operationId} ${op.summary} ${tag}`.toLowerCase(), d, link, head, side });
    }
  }
  document.getElementById("search").addEventListener("input", (ev) => {
    const words = ev.target.value.toLowerCase().split(/\s+/);
    const heads = new Map();
    for (const f of found) {
      const hit = words.every((w) => f.text.includes(w));
      f.d.hidden = f.link.hidden = !hit;
      f.d.style.display = f.link.style.display = hit ? "" : "none";
      heads.set(f.head, heads.get(f.head) || hit);
      heads.set(f.side, heads.get(f.side) || hit);
    }
    for (const [h, hit] of heads) h.style.display = hit ? "" : "none";
  });
  const open = () => {
    const d = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (d) { d.open = true; d.scrollIntoView(); }
  };
  addEventListener("hashchange", open);
  open();
}

fetch("/api/openapi.json").then((r) => r.json()).then((d) => { doc = d; show(); })
  .catch((e) => document.getElementById("main").replaceChildren(el("p", {}, "The OpenAPI document cannot be read: " + e)));
