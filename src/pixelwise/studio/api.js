// Requests to the server, and its events.

export class RequestFailed extends Error {
  constructor(status, body) {
    super(body.message || `The server answered ${status}.`);
    this.status = status;
    this.body = body;
  }
}

export async function request(method, path, body, type) {
  const headers = body === undefined ? {} : { "Content-Type": type || "application/json" };
  const content = body === undefined || type ? body : JSON.stringify(body);
  const answer = await fetch(path, { method, headers, body: content, credentials: "same-origin" });
  const value = answer.status === 204 ? null : await answer.json().catch(() => ({}));
  if (!answer.ok) throw new RequestFailed(answer.status, value);
  return value;
}

export const get = (path) => request("GET", path);
export const post = (path, body) => request("POST", path, body === undefined ? {} : body);

// The browser reconnects by itself and names the last event it saw; `after` is where the state ends.
export function follow(after, onEvent) {
  const source = new EventSource(`/api/events?after=${after}`);
  source.onmessage = (message) => onEvent(JSON.parse(message.data));
  return source;
}

const TYPES = { png: "image/png", jpg: "image/jpeg", jpeg: "image/jpeg", tif: "image/tiff", tiff: "image/tiff", bmp: "image/bmp", webp: "image/webp" };

export function upload(file) {
  const suffix = file.name.split(".").pop().toLowerCase();
  return request("POST", `/api/images?name=${encodeURIComponent(file.name)}`, file, TYPES[suffix] || "application/octet-stream");
}
