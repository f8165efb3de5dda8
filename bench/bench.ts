import { benchAgent } from './agent';
import { benchFleet } from './fleet';
import { benchForwarding } from './forwarding';
import { benchLookup } from './lookup';

benchLookup();
benchFleet();
benchAgent();
benchForwarding();
