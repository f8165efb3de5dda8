import { Random } from './random';
import { randomScenario } from './scenario';
import { askKernel } from './kernel';
import { disagreements } from './compare';
import { flowCommand, machineCommands } from './commands';
const [seed = 1, n = 20, f = 100, show = 3] = process.argv.slice(2).map(Number);
let bad = 0,
  all = 0,
  refused = 0,
  cmds = 0,
  tk = 0,
  tl = 0;
let shown = 0;
for (let i = 0; i < n; i++) {
  const s = randomScenario(new Random(seed * 100000 + i), f);
  const t0 = performance.now();
  const r = askKernel(s);
  const t1 = performance.now();
  const d = disagreements(r);
  tk += t1 - t0;
  tl += performance.now() - t1;
  all += f;
  bad += d.length;
  refused += r.refused.length;
  cmds += machineCommands(s.description).length;
  if (process.env.REFUSED) r.refused.forEach((x) => console.log(x));
  if (d.length && shown < show) {
    shown++;
    console.log(`--- scenario ${i}: ${d.length}`);
    console.log(machineCommands(r.description).join('\n'));
    for (const x of d.slice(0, 4))
      console.log(
        flowCommand(s.flows[x.index]),
        '\n   kernel:',
        x.kernel,
        '|',
        r.answers[x.index],
        '\n   lookup:',
        x.lookup.join(' | '),
      );
  }
}
console.log({ all, bad, refused, cmds, tk, tl });
