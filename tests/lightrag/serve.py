"""The real LightRAG server, without a network: the tokenizer, which would be fetched, is a fake. Usage: serve.py, with WORKING_DIR, HOST and PORT in the environment.

So a drill starts it over a restored graph: no model is asked as long as nobody asks a question. A `.env` in the working directory has the models to ask, and all else.
"""
import os
import sys

import lightrag.lightrag
from fakes import DIMENSION, Words
from lightrag.utils import Tokenizer

NOBODY = "http://127.0.0.1:9"
if not os.path.exists(".env"):
    os.environ["EMBEDDING_DIM"] = str(DIMENSION)
    for side in ("LLM", "EMBEDDING"):
        os.environ |= {f"{side}_BINDING": "openai", f"{side}_BINDING_HOST": NOBODY, f"{side}_BINDING_API_KEY": "none", f"{side}_MODEL": "none"}
lightrag.lightrag.TiktokenTokenizer = lambda *_, **__: Tokenizer("words", Words())
sys.argv = sys.argv[:1]

from lightrag.api.lightrag_server import main

if __name__ == "__main__":
    main()
