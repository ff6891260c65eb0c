%%% What may stand in the head of a request, where the protocols agree.
%%%
%%% Called by: hornbeam_http1_head and hornbeam_http2_head (is_target/1, is_uri/1, is_value/1), hornbeam_gate (without_underscores/1),
%%% hornbeam_forwarded. Calls nothing. Pure.
-module(hornbeam_hygiene).

-export([is_target/1, is_uri/1, is_value/1, without_underscores/1]).

-include("hornbeam_head.hrl").

%% @doc Whether all bytes may stand in a path or a query as browsers send them (the URL standard of the WHATWG): everything but
%% control characters, space and "#".
-spec is_target(binary()) -> boolean().
is_target(<<C, Rest/bits>>) when C > 32, C =/= $#, C =/= 127 -> is_target(Rest);
is_target(Rest) -> Rest =:= <<>>.

%% @doc The strict reading (option strict_target): RFC 3986, 2: unreserved, reserved and "%", without "#".
-spec is_uri(binary()) -> boolean().
is_uri(<<C, Rest/bits>>) when C >= $a, C =< $z; C >= $$, C =< $;; C >= $?, C =< $[ -> is_uri(Rest);
is_uri(<<C, Rest/bits>>) when C =:= $_; C =:= $=; C =:= $~; C =:= $]; C =:= $! -> is_uri(Rest);
is_uri(Rest) -> Rest =:= <<>>.

%% @doc RFC 9110, 5.5: visible characters, space, tab and bytes above 127. Four at a time take two thirds of the time.
-spec is_value(binary()) -> boolean().
is_value(<<A, B, C, D, Rest/bits>>)
        when A >= 32, A =/= 127, B >= 32, B =/= 127, C >= 32, C =/= 127, D >= 32, D =/= 127 -> is_value(Rest);
is_value(<<C, Rest/bits>>) when C >= 32, C =/= 127 -> is_value(Rest);
is_value(<<$\t, Rest/bits>>) -> is_value(Rest);
is_value(Rest) -> Rest =:= <<>>.

%% @doc The request without the fields whose names hold an underscore: behind a server that makes variables of names,
%% `x_user' and `x-user' cannot be told apart.
-spec without_underscores(#head{}) -> #head{}.
without_underscores(#head{fields = Fields} = Head) ->
    Head#head{fields = [Field || {Name, _} = Field <- Fields, binary:match(Name, <<"_">>) =:= nomatch]}.
