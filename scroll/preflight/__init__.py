"""Does a stack lie as the networks were trained?"""
