import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { RunDirectory } from './run-directory';
import { type ClientName, clientNames, families, type Family, internetAddress, publicAddress } from './topology';

const port = 8081;
/** Packets in a second, for each client and family. */
const rate = 100;
/** What is under way when a report is asked for has this long to arrive: a busy box is slow, and a late packet is not lost. */
const underWayMs = 300;
const mostUnderWayMs = 1500;

/** What became of the packets of one client and family. Times are in milliseconds. */
export interface Flow {
  readonly client: ClientName;
  readonly family: Family;
  readonly sent: number;
  /** At the internet host. */
  readonly received: number;
  readonly lost: number;
  /** The internet host sends every packet back: so many reached the client. */
  readonly answered: number;
  /** By which router they came to the internet host. */
  readonly upstream: number;
  readonly nat: number;
  /** From the beginning to the first one that came; undefined if none did. */
  readonly first?: number;
  /** The longest time without one, the beginning and the end included. */
  readonly longestGap: number;
}

/** A moment of the traffic. */
export interface Mark {
  readonly at: number;
  /** How many packets of each flow had been sent. */
  readonly sent: readonly number[];
}

interface Window {
  readonly flow: number;
  readonly from: number;
  readonly to: number;
  readonly start: number;
  readonly end: number;
}

/** What the receiver knows of one window. */
interface Arrivals {
  readonly received: number;
  readonly through: Record<string, number>;
  readonly first?: number;
  readonly longestGap: number;
}

const flows = clientNames.flatMap((client) => families.map((family) => ({ client, family })));

/** The clock of traffic.mjs. */
const now = (): number => Number(process.hrtime.bigint()) / 1e6;

/** Every VPN client sends small packets to the internet host, in both families, and each is accounted for. */
export class Traffic {
  /** The traffic ends by itself after `maxSeconds`; who asks it then gets an error. */
  static async start(directory: RunDirectory, maxSeconds: number): Promise<Traffic> {
    const routers = (['upstream', 'nat'] as const).flatMap((router) =>
      families.map((family) => `${router}=${publicAddress(router, family)}`),
    );
    const program = [join(__dirname, 'traffic.mjs')];
    const receiver = new Talker(directory, 'internet', [
      ...[...program, 'receive', String(maxSeconds + 1), String(port), String(flows.length)],
      ...routers,
    ]);
    // Nothing is sent before somebody listens.
    await receiver.ask({});
    const senders = clientNames.map((client) => {
      const own = flows.flatMap((each, flow) =>
        each.client === client ? [`${flow}=${internetAddress(each.family)}`] : [],
      );
      return new Talker(directory, client, [
        ...[...program, 'send', String(maxSeconds), String(port), String(rate)],
        ...own,
      ]);
    });
    await Promise.all(senders.map((sender) => sender.ask({})));
    return new Traffic(receiver, senders);
  }

  private readonly startedAt = now();

  private constructor(
    private readonly receiver: Talker,
    private readonly senders: readonly Talker[],
  ) {}

  /** Remember this moment, for `since`. */
  async mark(): Promise<Mark> {
    const at = now();
    return { at, sent: await this.sent() };
  }

  /** What became of all packets that were sent between a mark and now. */
  async since(mark: Mark): Promise<Flow[]> {
    const sent = await this.sent();
    const end = now();
    const windows = flows.map((_, flow): Window => ({
      flow,
      from: mark.sent[flow],
      to: sent[flow],
      start: mark.at,
      end,
    }));
    const arrived = (): Promise<Arrivals[]> => this.receiver.ask<Arrivals[]>({ windows });
    const complete = (all: readonly Arrivals[]): boolean =>
      all.every(({ received }, flow) => received === sent[flow] - mark.sent[flow]);
    let arrivals: Arrivals[];
    do {
      await new Promise((resolve) => setTimeout(resolve, underWayMs));
      arrivals = await arrived();
    } while (!complete(arrivals) && now() - end < mostUnderWayMs);
    const answers = await Promise.all(
      this.senders.map((sender) => sender.ask<{ answered: { flow: number; answered: number }[] }>({ windows })),
    );
    const answered = new Map(answers.flatMap((each) => each.answered).map((each) => [each.flow, each.answered]));
    return flows.map(({ client, family }, flow) => {
      const { received, through, first, longestGap } = arrivals[flow];
      const count = sent[flow] - mark.sent[flow];
      return {
        client,
        family,
        sent: count,
        received,
        lost: count - received,
        answered: answered.get(flow) ?? 0,
        upstream: through.upstream ?? 0,
        nat: through.nat ?? 0,
        first,
        longestGap,
      };
    });
  }

  /** Send no more; what became of all packets since the start. */
  async stop(): Promise<Flow[]> {
    await Promise.all(this.senders.map((sender) => sender.ask({ stop: true })));
    const all = await this.since({ at: this.startedAt, sent: flows.map(() => 0) });
    await this.end();
    return all;
  }

  /** Send no more, whatever became of it: also after a test that failed before it asked. */
  async end(): Promise<void> {
    await Promise.all([this.receiver, ...this.senders].map((talker) => talker.end()));
  }

  private async sent(): Promise<number[]> {
    const answers = await Promise.all(
      this.senders.map((sender) => sender.ask<{ sent: { flow: number; sent: number }[] }>({})),
    );
    return answers
      .flatMap((each) => each.sent)
      .sort((a, b) => a.flow - b.flow)
      .map((each) => each.sent);
  }
}

/** A process that answers questions in their order. It dies with us: it reads from us. */
class Talker {
  private readonly child: ChildProcess;
  private readonly waiting: { resolve: (answer: unknown) => void; reject: (error: Error) => void }[] = [];
  private ended?: Error;

  constructor(directory: RunDirectory, node: string, argv: readonly string[]) {
    // Who measures comes before those who keep the box busy.
    const command = ['ip', 'netns', 'exec', directory.name(node), process.execPath, ...argv];
    const child = spawn('nice', ['-n', '-10', ...command], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    const fail = (error: Error): void => {
      this.ended = error;
      this.waiting.splice(0).forEach(({ reject }) => reject(error));
    };
    child.on('error', fail).on('exit', () => fail(new Error(`the traffic of ${node} has ended`)));
    child.stdin.on('error', () => undefined);
    createInterface({ input: child.stdout }).on('line', (line) => this.waiting.shift()?.resolve(JSON.parse(line)));
    this.child = child;
  }

  ask<T>(question: object): Promise<T> {
    return new Promise((resolve, reject) => {
      if (this.ended) {
        reject(this.ended);
        return;
      }
      this.waiting.push({ resolve: resolve as (answer: unknown) => void, reject });
      this.child.stdin?.write(`${JSON.stringify(question)}\n`);
    });
  }

  /** Resolves when the process is gone, and its port is free. */
  end(): Promise<void> {
    const { child } = this;
    if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve();
    return new Promise((resolve) => {
      child.once('exit', () => resolve());
      child.stdin?.end();
    });
  }
}
