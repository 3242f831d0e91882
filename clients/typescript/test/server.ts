import { type ChildProcess, spawn } from "node:child_process";
import { createWriteStream, existsSync } from "node:fs";
import { cp, mkdtemp, readFile, rm } from "node:fs/promises";
import { once } from "node:events";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

/** `clients/typescript`. */
export const ROOT = resolve(fileURLToPath(import.meta.url), "../../..");

/** The repository of Lightkeep. */
export const PROJECT = resolve(ROOT, "../..");

/** The key that the server wants. */
export const TOKEN = "key of the TypeScript client's tests";

/** How long the server may take to start or end, milliseconds. */
const PATIENCE_MS = 60_000;

/** The program: that of LIGHTKEEP_BIN, or the one that cargo has built last. */
function binary(): string {
  const named = process.env["LIGHTKEEP_BIN"];
  if (named !== undefined && named !== "") return named;
  const targets = [process.env["CARGO_TARGET_DIR"], join(PROJECT, "target")].filter((target) => target !== undefined);
  const built = targets.flatMap((target) => ["release", "debug"].map((profile) => join(target, profile, "lightkeep")));
  const found = built.find((path) => existsSync(path));
  if (found === undefined) throw new Error("the tests need a server: run `cargo build`, or set LIGHTKEEP_BIN to a built `lightkeep`");
  return found;
}

/** Ours without what `lightkeep` reads: a developer's own settings must not reach it. */
function cleanEnvironment(): NodeJS.ProcessEnv {
  const isSetting = (name: string) => /^(LIGHTKEEP|LIGHTRAG)_/.test(name) || name === "LOG_LEVEL" || name === "WORKING_DIR";
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !isSetting(name)));
}

/** A `lightkeep serve` of one's own, in a directory of its own. */
export class Server {
  /** Of REST, as `127.0.0.1:40001`. */
  http = "127.0.0.1:0";
  /** Of gRPC. */
  grpc = "127.0.0.1:0";
  #process: ChildProcess | undefined;

  private constructor(
    /** The server's directory, and what lies in it. */
    readonly home: string,
    private readonly program: string,
  ) {}

  /** Starts one on free ports. */
  static async start(): Promise<Server> {
    const program = binary();
    const server = new Server(await mkdtemp(join(tmpdir(), "lightkeep-typescript-")), program);
    await server.serve();
    return server;
  }

  /** Serves: anew after `stop`, on the same ports. */
  async serve(): Promise<void> {
    const server = spawn(this.program, ["serve"], {
      cwd: this.home,
      stdio: ["ignore", "pipe", "pipe"],
      env: {
        ...cleanEnvironment(),
        LIGHTKEEP_HTTP_ADDR: this.http,
        LIGHTKEEP_GRPC_ADDR: this.grpc,
        LIGHTKEEP_METRICS_ADDR: "127.0.0.1:0",
        LIGHTKEEP_ALLOWED_ROOTS: this.home,
        LIGHTRAG_API_KEY: TOKEN,
        LIGHTRAG_AUTO_BACKUP_INTERVAL: "0",
        LIGHTRAG_RECOVERY_CHECKPOINT_INTERVAL: "0",
      },
    });
    server.stderr.pipe(createWriteStream(join(this.home, "server.log"), { flags: "a" }));
    this.#process = server;
    // Also where a test file breaks off.
    const orphaned = () => server.kill("SIGKILL");
    process.once("exit", orphaned);
    server.once("exit", () => process.off("exit", orphaned));
    const late = setTimeout(() => server.kill("SIGKILL"), PATIENCE_MS);
    for await (const line of createInterface({ input: server.stdout })) {
      const [name, address] = line.split(" ");
      if (name === "http" && address) this.http = address;
      if (name === "grpc" && address) this.grpc = address;
      if (name === "metrics") break;
    }
    clearTimeout(late);
    if (this.http.endsWith(":0") || this.grpc.endsWith(":0")) throw new Error(`the server did not start:\n${await this.#tail()}`);
    // Nobody reads any more: what else it says must not fill the pipe.
    server.stdout.resume();
  }

  /** Ends it as a service manager does. */
  async stop(): Promise<void> {
    const server = this.#process;
    this.#process = undefined;
    if (server?.exitCode !== null) return;
    const late = setTimeout(() => server.kill("SIGKILL"), PATIENCE_MS);
    const ended = once(server, "exit");
    server.kill("SIGTERM");
    await ended;
    clearTimeout(late);
  }

  /** Stops it in the midst of what it does: it takes calls, and answers none. */
  freeze(): void {
    this.#process?.kill("SIGSTOP");
  }

  /** How many connections hold what it has not read. Only a server that is frozen leaves it so. */
  async unread(): Promise<number> {
    const ports = [this.http, this.grpc].map((address) => Number(address.split(":")[1]).toString(16).toUpperCase().padStart(4, "0"));
    // Of each connection: number, address here, address there, state, bytes to send and unread.
    const connections = (await readFile("/proc/net/tcp", "utf8")).split("\n").map((line) => line.trim().split(/\s+/));
    return connections.filter(([, here, , state, queues]) => {
      const isOurs = state === "01" && ports.some((port) => here?.endsWith(`:${port}`));
      return isOurs && queues?.split(":")[1] !== "00000000";
    }).length;
  }

  /** Ends it as a crash does. */
  async kill(): Promise<void> {
    const server = this.#process;
    this.#process = undefined;
    if (server === undefined) return;
    const ended = once(server, "exit");
    server.kill("SIGKILL");
    await ended;
  }

  /** Ends it, and removes its directory. */
  async remove(): Promise<void> {
    await this.stop();
    await rm(this.home, { recursive: true, force: true });
  }

  /** A copy of the sample workspace: a directory that can be a graph's source. */
  async workspace(name: string): Promise<string> {
    const directory = join(this.home, name);
    await cp(join(PROJECT, "tests/fixtures/workspaces/sample"), directory, {
      recursive: true,
      // Another workspace lies in it.
      filter: (path) => !path.endsWith("tenant_b"),
    });
    return directory;
  }

  async #tail(): Promise<string> {
    return (await readFile(join(this.home, "server.log"), "utf8")).split("\n").slice(-30).join("\n");
  }
}
