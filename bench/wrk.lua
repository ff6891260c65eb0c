-- For load.py. Arguments after "--": the file of a request's body, if it has one. At the end one
-- line that is easy to read: counts, microseconds.

function init(args)
   if args[1] then
      local file = assert(io.open(args[1], "rb"))
      wrk.method, wrk.body = "POST", file:read("*a")
      wrk.headers["Content-Type"] = "application/json"
      file:close()
   end
end

function done(summary, latency, requests)
   local errors = summary.errors
   print(string.format(
      "bench requests=%d duration=%d bytes=%d connect=%d read=%d write=%d status=%d timeout=%d "
         .. "p50=%d p99=%d p99.9=%d",
      summary.requests, summary.duration, summary.bytes,
      errors.connect, errors.read, errors.write, errors.status, errors.timeout,
      latency:percentile(50), latency:percentile(99), latency:percentile(99.9)))
end
