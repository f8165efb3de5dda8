import { benchAgent } from './agent';
import { benchApply } from './apply';
import { benchFleet } from './fleet';
import { benchForwarding } from './forwarding';
import { benchLookup } from './lookup';

benchLookup();
benchFleet();
benchAgent();
benchForwarding();
benchApply().catch((error: unknown) => {
  console.error(error);
  process.exitCode = 1;
});
