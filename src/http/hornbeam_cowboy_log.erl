%%% Cowboy's log lines, to the OTP logger, less one kind that is no fault here.
%%%
%%% Called by: Cowboy and Ranch (option `logger'). Calls: hornbeam_clock. A worker's or a timer's message can cross the end of its stream on the way; Cowboy
%%% would warn of each ("message ... for unknown stream"). It runs in the connection's process, and hornbeam_clock wants to know.
-module(hornbeam_cowboy_log).

-export([debug/2, info/2, notice/2, warning/2, error/2]).

-spec debug(io:format(), [term()]) -> ok.
debug(Format, Arguments) -> logger:debug(Format, Arguments).

-spec info(io:format(), [term()]) -> ok.
info(Format, Arguments) -> logger:info(Format, Arguments).

-spec notice(io:format(), [term()]) -> ok.
notice(Format, Arguments) -> logger:notice(Format, Arguments).

-spec warning(io:format(), [term()]) -> ok.
warning("Received message ~p for unknown stream ~p." ++ _, [Message, _StreamId]) -> hornbeam_clock:stray(Message);
%% A client that sends no more and waits for its response (option half_close).
warning("Received stray message ~p." ++ _, [{tcp_closed, _}]) -> hornbeam_clock:half_closed();
%% The answer to a system message that a connection has sent itself (hornbeam_clock).
warning("Received stray message ~p." ++ _, [{Tag, ok}]) when is_reference(Tag) -> hornbeam_clock:stray(answered);
warning(Format, Arguments) -> logger:warning(Format, Arguments).

-spec error(io:format(), [term()]) -> ok.
error(Format, Arguments) -> logger:error(Format, Arguments).
