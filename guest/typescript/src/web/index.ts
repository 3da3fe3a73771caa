// The web's interfaces that QuickJS lacks. Importing this module puts them on `globalThis`. The order matters: a polyfill may
// use those before it.

import "./encoding.js";
import "./console.js";
import "./timers.js";
import "./random.js";
import "core-js/web/url.js";
import "core-js/web/url-search-params.js";
import "core-js/web/structured-clone.js";
import "event-target-polyfill";
import "abortcontroller-polyfill/dist/abortcontroller-polyfill-only.js";
import "./abort.js";
import "./streams.js";
import "./forms.js";
import "./headers.js";
import "./fetch.js";
