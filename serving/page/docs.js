// The API's description for people, made from openapi.json.

const description = await (await fetch("openapi.json")).json();

function element(kind, text, ...children) {
  const made = document.createElement(kind);
  if (text) made.textContent = text.replaceAll("`", "");
  made.append(...children.filter(Boolean));
  return made;
}

function resolve(schema) {
  if (!schema?.$ref) return schema ?? {};
  return schema.$ref.slice(2).split("/").reduce((at, name) => at[name], description);
}

function kindOf(schema) {
  const all = (schema.anyOf ?? [schema]).map(resolve).filter((one) => one.type !== "null");
  return all.map((one) => one.enum?.join(" | ") ?? (one.type === "array" ? `${kindOf(one.items)}, repeated` : one.type)).join(" | ");
}

function limitsOf(schema) {
  const all = (schema.anyOf ?? [schema]).map(resolve);
  const limits = all.flatMap((one) => [
    one.minimum !== undefined && `at least ${one.minimum}`,
    one.maximum !== undefined && `at most ${one.maximum}`,
    one.exclusiveMaximum !== undefined && `less than ${one.exclusiveMaximum}`,
    one.maxLength !== undefined && `at most ${one.maxLength} characters`,
  ]);
  if (schema.default !== undefined) limits.push(`${JSON.stringify(schema.default)} if left out`);
  return limits.filter(Boolean).join(", ");
}

function table(title, rows) {
  if (!rows.length) return null;
  const head = element("tr", "", ...["name", "kind", "what"].map((name) => element("th", name)));
  const body = rows.map(([name, required, schema, about]) => {
    const limits = [required && "required", limitsOf(schema)].filter(Boolean).join(", ");
    const what = [about, limits && `${limits[0].toUpperCase()}${limits.slice(1)}.`].filter(Boolean).join(" ");
    return element("tr", "", element("td", "", element("code", name)), element("td", kindOf(schema)), element("td", what));
  });
  const made = element("table", "", element("caption", title), element("thead", "", head), element("tbody", "", ...body));
  const around = element("div", "", made);
  around.className = "wide";
  around.tabIndex = 0;
  around.setAttribute("role", "region");
  around.setAttribute("aria-label", title);
  return around;
}

function parameters(operation) {
  return (operation.parameters ?? []).map((one) => [one.name, one.required, one.schema, one.description ?? one.schema.description]);
}

function fields(operation) {
  const content = operation.requestBody?.content?.["multipart/form-data"];
  const schema = resolve(content?.schema);
  return Object.entries(schema.properties ?? {}).map(([name, one]) => [
    name,
    schema.required?.includes(name),
    name === "photo" ? { type: "file" } : one,
    one.description,
  ]);
}

function example(path, method, operation) {
  const given = operation.requestBody ? " -F photo=@photo.jpg -F k=20" : "";
  const verb = method === "get" || given ? "" : ` -X ${method.toUpperCase()}`;
  const url = new URL("./", location.href).href.replace(/\/$/, "") + path.replace("{article_id}", "TRS-0421");
  return `curl${verb}${given} ${url}`;
}

function answers(operation) {
  const rows = Object.entries(operation.responses).map(([status, one]) =>
    element("li", "", element("code", status), ` ${one.description}`),
  );
  const schema = resolve(operation.responses["200"]?.content?.["application/json"]?.schema);
  const shown = schema.examples?.[0];
  const code = shown && element("pre", JSON.stringify(shown, null, 2));
  if (code) code.tabIndex = 0;
  return [element("ul", "", ...rows), code];
}

function operation(path, method, one) {
  const call = element("pre", example(path, method, one));
  call.tabIndex = 0;
  return element(
    "section",
    "",
    element("h2", "", element("code", `${method.toUpperCase()} ${path}`)),
    element("p", one.description ?? one.summary),
    table("Parameters", parameters(one)),
    table("Form fields", fields(one)),
    call,
    ...answers(one),
  );
}

document.getElementById("about").textContent = description.info.description.replaceAll("`", "");
document.getElementById("operations").append(
  ...Object.entries(description.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, one]) => operation(path, method, one)),
  ),
);
