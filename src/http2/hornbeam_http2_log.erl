%%% Cowboy's log lines, to the OTP logger.
%%%
%%% Called by: Cowboy (its option `logger', with the calls of error_logger). Its warnings are of messages that crossed the end of their stream on
%%% the way, a worker's or a timer's: no fault, and one line each under load. They are kept for debugging.
-module(hornbeam_http2_log).

-export([debug/2, info/2, notice/2, warning/2, error/2]).

-spec debug(io:format(), [term()]) -> ok.
debug(Format, Arguments) -> logger:debug(Format, Arguments).

-spec info(io:format(), [term()]) -> ok.
info(Format, Arguments) -> logger:info(Format, Arguments).

-spec notice(io:format(), [term()]) -> ok.
notice(Format, Arguments) -> logger:notice(Format, Arguments).

-spec warning(io:format(), [term()]) -> ok.
warning(Format, Arguments) -> logger:debug(Format, Arguments).

-spec error(io:format(), [term()]) -> ok.
error(Format, Arguments) -> logger:error(Format, Arguments).
