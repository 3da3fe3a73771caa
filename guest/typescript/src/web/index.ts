// Adds the web's interfaces that QuickJS lacks to `globalThis`. The order of the imports matters, because a polyfill
// may use earlier polyfills.

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
