"""The fakes behind the API of OpenAI, for a LightRAG server that is configured as its users do it."""
import asyncio
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import fakes


class Api(BaseHTTPRequestHandler):
    """Chat completions and embeddings, in one piece each."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        answers = {"/v1/chat/completions": completion, "/v1/embeddings": embeddings}
        content = json.dumps({"model": asked["model"], "usage": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}} | answers[self.path](asked)).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass  # what is asked is in the log of who asks


def completion(asked):
    said = asyncio.run(fakes.model(asked["messages"][-1]["content"]))
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": said}}
    return {"id": "fake", "object": "chat.completion", "created": 0, "choices": [choice]}


def embeddings(asked):
    """Each with as many numbers as were asked for, or as OpenAI's small model has."""
    vectors = [fakes.vector_of(text, asked.get("dimensions", 1536)).tolist() for text in asked["input"]]
    return {"object": "list", "data": [{"object": "embedding", "index": index, "embedding": vector} for index, vector in enumerate(vectors)]}


def listen(host="127.0.0.1", port=0):
    """Answers in threads of this process until it ends; gives the base URL."""
    server = ThreadingHTTPServer((host, port), Api)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://{host}:{server.server_port}/v1"
