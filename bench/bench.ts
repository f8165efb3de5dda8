import { benchAgent } from './agent';

benchAgent();
