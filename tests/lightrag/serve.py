"""The real LightRAG server over a restored graph: what a drill starts. Usage: serve.py, with WORKING_DIR, HOST and PORT in the environment.

Without a network: no model is asked as long as nobody asks a question, and the tokenizer, which would be fetched, is a fake.
"""
import os
import sys

NOBODY = "http://127.0.0.1:9"
for side in ("LLM", "EMBEDDING"):
    os.environ |= {f"{side}_BINDING": "openai", f"{side}_BINDING_HOST": NOBODY, f"{side}_BINDING_API_KEY": "none", f"{side}_MODEL": "none"}

import lightrag.lightrag
from fakes import DIMENSION, Words
from lightrag.utils import Tokenizer

os.environ["EMBEDDING_DIM"] = str(DIMENSION)
lightrag.lightrag.TiktokenTokenizer = lambda *_, **__: Tokenizer("words", Words())
sys.argv = sys.argv[:1]

from lightrag.api.lightrag_server import main

if __name__ == "__main__":
    main()
