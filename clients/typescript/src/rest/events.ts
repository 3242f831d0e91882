/** One server-sent event. */
export interface ServerSentEvent {
  /** Its name: `message` where it has none. */
  event: string;
  data: string;
}

/** The events in a stream of bytes. An event that is not whole at its end is none. */
export async function* events(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<ServerSentEvent> {
  const decoder = new TextDecoder();
  let rest = "";
  let event = "message";
  let data: string[] = [];
  for await (const chunk of chunks) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines.map((line) => line.replace(/\r$/, ""))) {
      if (line === "") {
        if (data.length > 0) yield { event, data: data.join("\n") };
        event = "message";
        data = [];
      } else {
        // A line that begins with the colon is a comment: it keeps the connection alive.
        const [, name, value] = /^([^:]*):? ?(.*)$/.exec(line) ?? [];
        if (name === "event") event = value ?? event;
        else if (name === "data") data.push(value ?? "");
      }
    }
  }
}
