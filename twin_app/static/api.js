/** The only file that talks to the server. Errors become `Problem` with the sentence that the server wrote. */

/** What went wrong, in the server's words (RFC 9457), or that it did not answer at all. */
export class Problem extends Error {
  constructor(message, { status = 0, title = "" } = {}) {
    super(message);
    this.status = status;
    this.title = title;
  }
}

/** The scene that the page shows, from its own address; null = the twin's only one. */
let scene = new URLSearchParams(location.search).get("scene");

/** Everything asked for from now on is about this scene. */
export function lookAt(id) {
  scene = id;
}

/** The scene that everything is about, null while it is the twin's only one. */
export function shownScene() {
  return scene;
}

function about(path) {
  return scene === null ? path : `${path}${path.includes("?") ? "&" : "?"}scene=${encodeURIComponent(scene)}`;
}

async function ask(path, options = {}) {
  const { timeout_ms: timeout = 10000, ...rest } = options;
  let response;
  try {
    response = await fetch(about(path), { signal: AbortSignal.timeout(timeout), ...rest });
  } catch (error) {
    throw new Problem(error.name === "TimeoutError" ? "The twin did not answer in time." : "The twin does not answer; is it running?");
  }
  if (response.ok) return response;
  let told = {};
  try {
    told = await response.json();
  } catch {
    // a proxy or a crash answered without problem+json; the status has to do
  }
  throw new Problem(told.detail || told.title || `The twin answered ${response.status}.`, { status: response.status, title: told.title });
}

/** GET as JSON. */
export async function get(path, options) {
  return (await ask(path, options)).json();
}

/** POST JSON, answer as JSON. */
export async function post(path, body, headers = {}) {
  const response = await ask(path, {
    method: "POST",
    headers: { "Content-Type": "application/json", ...headers },
    body: JSON.stringify(body),
    timeout_ms: 30000,
  });
  return response.status === 204 ? null : response.json();
}

/** Items of a list endpoint, its first page. */
export async function list(path) {
  const answer = await get(path);
  return Array.isArray(answer) ? answer : (answer.items ?? []);
}

const TYPES = { f4: Float32Array, i4: Int32Array, u1: Uint8Array };

/** GET a binary frame: header and named typed arrays (the layout stands in twin_app/page_frames.py). */
export async function frame(path, options) {
  const buffer = await (await ask(path, options)).arrayBuffer();
  const length = new DataView(buffer).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  const arrays = {};
  let offset = 4 + length;
  for (const [name, type, count] of header.arrays) {
    arrays[name] = new TYPES[type](buffer, offset, count);
    offset += arrays[name].byteLength;
  }
  return { ...header, ...arrays };
}

/** Reads server-sent events from a response body; EventSource cannot POST. */
async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    rest += (value ?? "").replaceAll("\r\n", "\n");
    for (let end = rest.indexOf("\n\n"); end >= 0; end = rest.indexOf("\n\n")) {
      const block = rest.slice(0, end).split("\n");
      rest = rest.slice(end + 2);
      const field = (name) => block.filter((line) => line.startsWith(`${name}:`)).map((line) => line.slice(name.length + 1).trimStart());
      const data = field("data").join("\n");
      if (data) yield { name: field("event")[0] ?? "message", data: JSON.parse(data) };
    }
    if (done) return;
  }
}

/**
 * Asks a question and hands over `step`, `tool`, `token`, `result` and `error` events as they come.
 * @param {object} question body of POST /v1/ask
 * @param {AbortSignal} signal ends the stream
 */
export async function* askStream(question, signal) {
  let response;
  try {
    response = await fetch(about("/v1/ask"), {
      method: "POST",
      headers: { "Content-Type": "application/json", Accept: "text/event-stream" },
      body: JSON.stringify(question),
      signal,
    });
  } catch (error) {
    if (signal.aborted) return;
    throw new Problem("The twin does not answer; is it running?");
  }
  if (!response.ok) {
    const told = await response.json().catch(() => ({}));
    throw new Problem(told.detail || told.title || `The twin answered ${response.status}.`, { status: response.status });
  }
  if ((response.headers.get("content-type") ?? "").includes("application/json")) {
    yield { name: "result", data: await response.json() };
    return;
  }
  try {
    yield* events(response.body);
  } catch (error) {
    if (!signal.aborted) throw new Problem("The answer broke off; the connection to the twin was lost.");
  }
}

/** Listens to the twin's news for good; the browser reconnects by itself. */
export function listen(handlers, { onOpen, onLost }) {
  const source = new EventSource(about("/v1/events"));
  source.addEventListener("open", onOpen);
  source.addEventListener("error", onLost);
  for (const [name, handle] of Object.entries(handlers)) {
    source.addEventListener(name, (event) => {
      if (event.data !== undefined) handle(JSON.parse(event.data));
    });
  }
  return source;
}
