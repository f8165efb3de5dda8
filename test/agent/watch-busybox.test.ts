import { BUSYBOX } from './machine';
import { watchSuite } from './watch-suite';

watchSuite(BUSYBOX);
