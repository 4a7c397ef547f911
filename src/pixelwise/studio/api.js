// Requests to the server, and its events.

const RECONNECT = 2000; // ms

export class RequestFailed extends Error {
  constructor(status, body) {
    super(body.message || `The server answered ${status}.`);
    this.status = status;
    this.body = body;
  }
}

// Status 0: there is no answer.
async function send(path, options) {
  const answer = await fetch(path, { credentials: "same-origin", ...options }).catch(() => {
    throw new RequestFailed(0, { message: "The server does not answer." });
  });
  if (!answer.ok) throw new RequestFailed(answer.status, await answer.json().catch(() => ({})));
  return answer;
}

export async function request(method, path, body, type) {
  const headers = body === undefined ? {} : { "Content-Type": type || "application/json" };
  const content = body === undefined || type ? body : JSON.stringify(body);
  const answer = await send(path, { method, headers, body: content });
  return answer.status === 204 ? null : answer.json();
}

// A file with the name that the server gives it.
export async function file(path) {
  const answer = await send(path);
  const [, name] = /filename="([^"]*)"/.exec(answer.headers.get("Content-Disposition") || "") || [null, ""];
  return new File([await answer.blob()], name);
}

export const picture = async (path) => (await send(path)).blob();

export const get = (path) => request("GET", path);
export const post = (path, body) => request("POST", path, body === undefined ? {} : body);

// Whether a failed request may succeed later.
export const isPassing = (error) => error instanceof RequestFailed && (error.status === 0 || error.status === 429 || error.status >= 500);

// An answer and the event of the same change come over two connections, in any order.
export const isOutdated = (job, known) => Boolean(known) && job.revision < known.revision;

// Every event after one, once and in order. The browser reconnects by itself when a connection is lost, but not after an
// answer that is no stream, such as that of a server that is stopping: then this does.
export function follow(after, onEvent, onConnection) {
  let last = after;
  const connect = () => {
    const source = new EventSource(`/api/events?after=${last}`);
    source.onopen = () => onConnection(true);
    source.onmessage = (message) => {
      last = Number(message.lastEventId);
      onEvent(JSON.parse(message.data));
    };
    source.onerror = () => {
      onConnection(false);
      if (source.readyState === EventSource.CLOSED) setTimeout(connect, RECONNECT);
    };
  };
  connect();
}

const TYPES = { png: "image/png", jpg: "image/jpeg", jpeg: "image/jpeg", tif: "image/tiff", tiff: "image/tiff", bmp: "image/bmp", webp: "image/webp" };

const typeOf = (file) => TYPES[file.name.split(".").pop().toLowerCase()] || "application/octet-stream";

export const upload = (file) => request("POST", `/api/images?name=${encodeURIComponent(file.name)}`, file, typeOf(file));

// Images with their masks: a folder, file by file, then what the server understood of it.
export const beginFolder = (name) => post(`/api/folders?name=${encodeURIComponent(name)}`);
export const uploadInto = (folder, file, path) => request("POST", `/api/folders/${folder.id}/files?path=${encodeURIComponent(path)}`, file, typeOf(file));
export const readFolder = (folder) => post(`/api/folders/${folder.id}/read`);
