// One end of the lab's traffic. Reads questions and writes answers, one line of JSON each; ends with
// its standard input, and after MAX-SECONDS in any case.
//
//   node traffic.mjs receive MAX-SECONDS PORT FLOWS NAME=ADDRESS...
//   node traffic.mjs send MAX-SECONDS PORT RATE FLOW=ADDRESS...
//
// A flow is a number. A packet says its flow and its place in it, which starts at 0.
import { createSocket } from 'node:dgram';
import { createInterface } from 'node:readline';

const [role, maxSeconds, port, ...rest] = process.argv.slice(2);
setTimeout(() => process.exit(1), Number(maxSeconds) * 1000);

/** The same clock in all processes of the box. */
const now = () => Number(process.hrtime.bigint()) / 1e6;

const packet = Buffer.alloc(8);
const read = (message) => ({ flow: message.readUInt32BE(0), place: message.readUInt32BE(4) });

/** How many places from `from` up to `to` are in a set. */
const count = (places, from, to) => {
  let found = 0;
  for (let place = from; place < to; place += 1) if (places.has(place)) found += 1;
  return found;
};

/** Notes when each packet came and by which router, and sends it back. */
function receive([flows, ...routers]) {
  const nameOf = new Map(routers.map((each) => each.split('=').reverse()));
  const arrivals = Array.from({ length: Number(flows) }, () => new Map());
  for (const family of [4, 6]) {
    // What waits while a busy box does not let us run must not be lost: that would look like the fault of a router.
    const socket = createSocket({ type: `udp${family}`, ipv6Only: family === 6, recvBufferSize: 4 << 20 });
    socket.on('message', (message, from) => {
      const { flow, place } = read(message);
      arrivals[flow].set(place, { at: now(), router: nameOf.get(from.address) ?? from.address });
      socket.send(message, from.port, from.address, () => undefined);
    });
    socket.bind(Number(port));
  }
  // What became of the places from `from` up to `to` of a flow, which were sent after `start`.
  const report = ({ flow, from, to, start, end }) => {
    const through = {};
    let first;
    let last = start;
    let longestGap = 0;
    for (let place = from; place < to; place += 1) {
      const arrival = arrivals[flow].get(place);
      if (!arrival) continue;
      through[arrival.router] = (through[arrival.router] ?? 0) + 1;
      longestGap = Math.max(longestGap, arrival.at - last);
      first ??= Math.max(0, arrival.at - start);
      last = arrival.at;
    }
    return { received: count(arrivals[flow], from, to), through, first, longestGap: Math.max(longestGap, end - last) };
  };
  return ({ windows = [] }) => windows.map(report);
}

/** Sends at a rate, all flows side by side, and notes which packets came back. */
function send([rate, ...targets]) {
  let stopped = false;
  const flows = targets.map((target) => {
    const [flow, address] = target.split('=');
    const answered = new Set();
    const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4');
    // A socket of no fixed peer is not told of ICMP errors: an unreachable default does not stop it.
    socket.on('error', () => undefined);
    socket.on('message', (message) => answered.add(read(message).place));
    return { flow: Number(flow), address, answered, socket, sent: 0 };
  });
  const start = now();
  setInterval(
    () => {
      if (stopped) return;
      // What a busy box made us miss is sent a little later, not all at once.
      const due = Math.floor(((now() - start) / 1000) * Number(rate)) + 1;
      for (const each of flows) {
        for (let burst = 0; each.sent < due && burst < 3; burst += 1) {
          packet.writeUInt32BE(each.flow, 0);
          packet.writeUInt32BE(each.sent, 4);
          each.sent += 1;
          each.socket.send(Buffer.from(packet), Number(port), each.address, () => undefined);
        }
      }
    },
    1000 / Number(rate),
  );
  return ({ stop, windows = [] }) => {
    if (stop) stopped = true;
    return {
      sent: flows.map(({ flow, sent }) => ({ flow, sent })),
      answered: windows.flatMap(({ flow, from, to }) =>
        flows
          .filter((each) => each.flow === flow)
          .map(({ answered }) => ({ flow, answered: count(answered, from, to) })),
      ),
    };
  };
}

const answer = { receive, send }[role](rest);
createInterface({ input: process.stdin })
  .on('line', (line) => process.stdout.write(`${JSON.stringify(answer(JSON.parse(line)))}\n`))
  .on('close', () => process.exit(0));
