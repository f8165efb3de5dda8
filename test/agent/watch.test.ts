import { DASH } from './machine';
import { watchSuite } from './watch-suite';

watchSuite(DASH);
