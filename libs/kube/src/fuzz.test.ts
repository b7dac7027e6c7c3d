import { testBriefly } from '@sluice/testing/fuzz';
import { channelMessage } from './channels.fuzz.ts';
import { portForwardMessage } from './port-forward-channels.fuzz.ts';
import { headerBlock } from './spdy/header-block.fuzz.ts';
import { spdy } from './spdy/session.fuzz.ts';
import { streamRequest } from './stream-request.fuzz.ts';
import { tar } from './tar.fuzz.ts';

testBriefly([channelMessage, portForwardMessage, streamRequest]);
// These cost more.
testBriefly([spdy, headerBlock], 1500);
testBriefly([tar], 500);
