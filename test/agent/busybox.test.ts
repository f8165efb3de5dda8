import { BUSYBOX } from './machine';
import { agentSuite } from './suite';

agentSuite(BUSYBOX);
