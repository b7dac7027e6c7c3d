import { testBriefly } from '@sluice/testing/fuzz';
import { spdy } from './spdy/session.fuzz.ts';

testBriefly([spdy]);
